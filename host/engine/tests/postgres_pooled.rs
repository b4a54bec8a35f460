//! Engines on PostgreSQL behind PgBouncer in transaction mode: each statement may come to another
//! session of the server's, which others have used before.

use std::sync::Arc;

use restante_engine::postgres::{Postgres, PostgresBlobs, PostgresDatabase};
use restante_engine::{Retention, Tables};
use restante_tests::{PgBouncer, Postgres as Server};

use crate::postgres::{TABLE, settings};
use crate::suite::{Accounts, BlobStore, Engine};

fn is_there(test: &str) -> bool {
    Server::is_there(test) && PgBouncer::is_there(test)
}

/// The server of these tests, and a pooler before it.
fn started() -> (&'static Server, PgBouncer) {
    let server = Server::shared("PostgreSQL").unwrap();
    let pooler = PgBouncer::start("PgBouncer", server).unwrap();
    (server, pooler)
}

/// Makes its tables through the pooler, too.
async fn opened(retention: Retention) -> (Postgres, PgBouncer) {
    let (server, pooler) = started();
    let url = server.url(&server.database(), Some(pooler.port()));
    let postgres = Postgres::open(&settings(server, url), retention, Tables::Made).await;
    (postgres.unwrap(), pooler)
}

async fn engine(retention: Retention) -> Engine {
    let (postgres, pooler) = opened(retention).await;
    let postgres = Arc::new(postgres);
    Engine {
        index: postgres.clone(),
        holds: postgres,
        keep: Box::new(pooler),
    }
}

async fn blobs() -> BlobStore {
    let (postgres, pooler) = opened(Retention::default()).await;
    BlobStore {
        blobs: Arc::new(PostgresBlobs::new(&postgres, "mail").unwrap()),
        keep: Box::new(pooler),
    }
}

async fn accounts() -> Accounts {
    let (server, pooler) = started();
    let name = server.database();
    server.run(&name, TABLE);
    let settings = settings(server, server.url(&name, Some(pooler.port())));
    Accounts {
        database: Arc::new(PostgresDatabase::new(&settings).unwrap()),
        keep: Box::new(pooler),
    }
}

engine_suite!(
    crate::postgres_pooled::engine,
    if crate::postgres_pooled::is_there
);
blob_suite!(
    crate::postgres_pooled::blobs,
    if crate::postgres_pooled::is_there
);
database_suite!(
    crate::postgres_pooled::accounts,
    if crate::postgres_pooled::is_there
);

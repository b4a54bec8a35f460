//! What nodes that share the database tell one another.

use std::borrow::Cow;
use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::calls::{Parameter, call};
use super::index::Postgres;
use super::rows::{signed, unsigned};
use crate::bounds::{MAX_NAME_OCTETS, MAX_NEWS_ROWS, MAX_REPORT_ROWS, MAX_SESSIONS_TOLD};
use crate::cluster::{Exchanged, News, NodeSession, Penalty, Report, SessionChoice};
use crate::hold::Node;
use crate::problem::Problem;

/// A heartbeat with what is told both ways.
pub(super) async fn exchange(
    engine: &Postgres,
    node: &Node,
    report: &Report,
) -> Result<Exchanged, Problem> {
    let sql =
        "select kind, about, one, two, three, age, remaining, four, fence from restante.exchange(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";
    let lasts = engine.retention.term.as_secs_f64();
    let begun = report.begun.get(..MAX_REPORT_ROWS);
    let begun = begun.unwrap_or(&report.begun);
    let column = |of: fn(&NodeSession) -> &str| -> Vec<Cow<'_, str>> {
        begun.iter().map(|session| text(of(session))).collect()
    };
    let ids = column(|session| &session.id);
    let tenants = column(|session| &session.tenant);
    let users = column(|session| &session.user);
    let clients = column(|session| &session.client);
    let listeners = column(|session| &session.listener);
    let tls = begun.iter().map(|session| session.tls.as_deref().map(text));
    let tls: Vec<Option<Cow<'_, str>>> = tls.collect();
    let since = begun.iter().map(|session| signed(session.since));
    let since: Vec<i64> = since.collect();
    let ended: Vec<Cow<'_, str>> = report.ended.iter().map(|id| text(id)).collect();
    let owed = report.penalties.get(..MAX_REPORT_ROWS);
    let owed = owed.unwrap_or(&report.penalties);
    let networks = owed.iter().map(|owed| text(&owed.network));
    let networks: Vec<Cow<'_, str>> = networks.collect();
    let failures = owed.iter().map(|owed| i32::try_from(owed.failures));
    let failures: Vec<i32> = failures.map(|count| count.unwrap_or(i32::MAX)).collect();
    let seconds = |of: fn(&Penalty) -> Duration| -> Vec<f64> {
        owed.iter().map(|owed| of(owed).as_secs_f64()).collect()
    };
    let ages = seconds(|owed| owed.age);
    let remains = seconds(|owed| owed.remaining);
    let most = match report.is_deaf {
        true => 0,
        false => MAX_NEWS_ROWS as i32,
    };
    let heard: Vec<i64> = report.heard.iter().map(|number| signed(*number)).collect();
    let parameters: [Parameter<'_>; 19] = [
        (&node.name, Type::TEXT),
        (&signed(node.term), Type::INT8),
        (&lasts, Type::FLOAT8),
        (&report.is_whole, Type::BOOL),
        (&ids, Type::TEXT_ARRAY),
        (&tenants, Type::TEXT_ARRAY),
        (&users, Type::TEXT_ARRAY),
        (&clients, Type::TEXT_ARRAY),
        (&listeners, Type::TEXT_ARRAY),
        (&tls, Type::TEXT_ARRAY),
        (&since, Type::INT8_ARRAY),
        (&ended, Type::TEXT_ARRAY),
        (&networks, Type::TEXT_ARRAY),
        (&failures, Type::INT4_ARRAY),
        (&ages, Type::FLOAT8_ARRAY),
        (&remains, Type::FLOAT8_ARRAY),
        (&heard, Type::INT8_ARRAY),
        (&signed(report.last_penalty), Type::INT8),
        (&most, Type::INT4),
    ];
    let rows = call(&engine.heartbeats, sql, &parameters).await?;
    if rows.is_empty() {
        return Err(Problem::Lost);
    }
    read(&rows, report).map_err(|error| engine.odd(&error))
}

fn read(rows: &[Row], report: &Report) -> Result<Exchanged, tokio_postgres::Error> {
    let mut news = News::default();
    // Numbers may begin anew, so that the last one that was told is what counts.
    let mut last_penalty = None;
    for row in rows {
        let about = || Ok(unsigned(row.try_get::<_, Option<i64>>(1)?.unwrap_or(0)));
        let [one, two, three] = [row.try_get(2)?, row.try_get(3)?, row.try_get(4)?];
        let (one, two, three): (Option<&str>, Option<&str>, Option<&str>) = (one, two, three);
        match row.try_get::<_, &str>(0)? {
            "asked" => {
                let owned = |text: Option<&str>| text.map(str::to_owned);
                let four: Option<&str> = row.try_get(7)?;
                let which = match (one, two, three) {
                    (Some(by), Some(tenant), Some(user)) if four.is_some() => {
                        SessionChoice::Holder {
                            key: four.unwrap_or_default().to_owned(),
                            fence: unsigned(row.try_get::<_, Option<i64>>(8)?.unwrap_or(0)),
                            tenant: tenant.to_owned(),
                            user: user.to_owned(),
                            by: by.to_owned(),
                        }
                    }
                    (Some(id), _, _) => SessionChoice::Session(id.to_owned()),
                    (None, tenant, Some(user)) => SessionChoice::User {
                        user: user.to_owned(),
                        tenant: owned(tenant),
                    },
                    (None, Some(tenant), None) => SessionChoice::Tenant(tenant.to_owned()),
                    (None, None, None) => continue,
                };
                news.asked.push((about()?, which));
            }
            "penalty" => {
                // The newest is the first.
                last_penalty.get_or_insert(about()?);
                news.penalties.push(Penalty {
                    network: one.unwrap_or_default().to_owned(),
                    failures: two.and_then(|count| count.parse().ok()).unwrap_or(0),
                    age: duration(row.try_get(5)?),
                    remaining: duration(row.try_get(6)?),
                });
            }
            "left out" => news.left_out = about()?,
            "again" => news.is_report_lost = true,
            "failed" => return Ok(Exchanged::Failed(one.unwrap_or_default().to_owned())),
            _ => {}
        }
    }
    news.last_penalty = last_penalty.unwrap_or(report.last_penalty);
    Ok(Exchanged::News(news))
}

const COLUMNS: &str = "s.node, s.id, s.tenant, s.user_name, s.client, s.listener, s.tls, s.since";

/// What other nodes told of their sessions.
pub(super) async fn sessions(engine: &Postgres, node: &Node) -> Result<Vec<NodeSession>, Problem> {
    let sql = format!(
        "select {COLUMNS} from restante.session s
        join restante.node n on n.id = s.node and n.term = s.term
        where s.node <> $1 and n.expires > now() order by s.since, s.id limit $2"
    );
    let most = MAX_SESSIONS_TOLD as i64;
    let parameters: [Parameter<'_>; 2] = [(&node.name, Type::TEXT), (&most, Type::INT8)];
    let rows = call(&engine.pool, &sql, &parameters).await?;
    let told = rows.iter().map(session).collect::<Result<Vec<_>, _>>();
    told.map_err(|error| engine.odd(&error))
}

/// Asks other nodes to end theirs.
pub(super) async fn end_sessions(
    engine: &Postgres,
    node: &Node,
    which: &SessionChoice,
    only: Option<&str>,
) -> Result<Vec<NodeSession>, Problem> {
    let (mut held, mut by_fence) = (None, None);
    let (id, tenant, user) = match which {
        SessionChoice::Session(id) => (Some(text(id)), None, None),
        SessionChoice::Holder {
            key,
            fence,
            tenant,
            user,
            by,
        } => {
            held = Some(text(key));
            by_fence = Some(signed(*fence));
            (Some(text(by)), Some(text(tenant)), Some(text(user)))
        }
        SessionChoice::User { user, tenant } => {
            (None, tenant.as_deref().map(text), Some(text(user)))
        }
        SessionChoice::Tenant(tenant) => (None, Some(text(tenant)), None),
    };
    let sql = format!(
        "select {COLUMNS} from restante.end_sessions($1, $2, $3, $4, $5, $6, $7, $8, $9) s"
    );
    let parameters: [Parameter<'_>; 9] = [
        (&node.name, Type::TEXT),
        (&only, Type::TEXT),
        (&id, Type::TEXT),
        (&tenant, Type::TEXT),
        (&user, Type::TEXT),
        (&held, Type::TEXT),
        (&by_fence, Type::INT8),
        (&which.lasts().as_secs_f64(), Type::FLOAT8),
        (&(MAX_SESSIONS_TOLD as i32), Type::INT4),
    ];
    let rows = call(&engine.pool, &sql, &parameters).await?;
    let told = rows.iter().map(session).collect::<Result<Vec<_>, _>>();
    told.map_err(|error| engine.odd(&error))
}

fn session(row: &Row) -> Result<NodeSession, tokio_postgres::Error> {
    Ok(NodeSession {
        node: row.try_get(0)?,
        id: row.try_get(1)?,
        tenant: row.try_get(2)?,
        user: row.try_get(3)?,
        client: row.try_get(4)?,
        listener: row.try_get(5)?,
        tls: row.try_get(6)?,
        since: unsigned(row.try_get(7)?),
    })
}

/// As the database can have it: one text that it refuses would keep all others from being told.
/// Names come from plugins, and may have any octets.
fn text(text: &str) -> Cow<'_, str> {
    let end = text.floor_char_boundary(MAX_NAME_OCTETS);
    let text = text.get(..end).unwrap_or(text);
    match text.contains('\0') {
        true => Cow::Owned(text.replace('\0', "\u{fffd}")),
        false => Cow::Borrowed(text),
    }
}

/// Of seconds that the database told.
pub(super) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::ZERO)
}

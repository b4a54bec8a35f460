//! Engines in memory.

use std::sync::Arc;

use restante_engine::memory::{Memory, MemoryBlobs};

use restante_engine::{Appended, MAX_ANSWER_BYTES, Retention, entry_bytes};

use crate::suite::{BlobStore, Engine, FREE, entry, folder};

pub(crate) async fn engine(retention: Retention) -> Engine {
    let memory = Arc::new(Memory::new(retention));
    Engine {
        index: memory.clone(),
        holds: memory,
        keep: Box::new(()),
    }
}

pub(crate) async fn blobs() -> BlobStore {
    BlobStore {
        blobs: Arc::new(MemoryBlobs::default()),
        keep: Box::new(()),
    }
}

engine_suite!(crate::memory::engine);
blob_suite!(crate::memory::blobs);

#[tokio::test]
async fn a_folder_is_full_before_its_listing_is_more_than_one_answer() {
    let engine = engine(Retention::default()).await;
    let inbox = folder("a", "b", "");
    let large = entry(&"ü".repeat(512));
    let mut bytes = 0;
    let mut last = String::new();
    loop {
        match engine
            .index
            .append(&inbox, &large, &FREE, None)
            .await
            .unwrap()
        {
            Appended::Kept(id) => {
                bytes += entry_bytes(&id, &large.name);
                last = id;
            }
            full => {
                assert_eq!(full, Appended::Full);
                break;
            }
        }
    }
    assert!(
        bytes <= MAX_ANSWER_BYTES && bytes + 1200 > MAX_ANSWER_BYTES,
        "{bytes}"
    );
    let entries = engine.index.read(&inbox).await.unwrap();
    let columns = entries.unique_ids.len() + entries.names.len() + entries.octets.len() * 16;
    assert!(columns as u64 <= MAX_ANSWER_BYTES, "{columns}");
    // What a smaller one takes is there.
    engine.kept(&inbox, &entry("a")).await;
    let (_, hold) = engine.holder("n", "k").await;
    engine.index.remove(&inbox, &[last], &hold).await.unwrap();
    engine.kept(&inbox, &entry(&large.name[..1000])).await;
}

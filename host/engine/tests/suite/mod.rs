//! The tests themselves. Each kind of engine makes an empty one and names it to
//! `engine_suite!` or `blob_suite!`, which make a test of every case.

use std::any::Any;
use std::sync::Arc;

use restante_engine::{
    Acquired, Agreements, Blobs, Database, Difference, Entries, Entry, Folder, Hold, Holds, Limits,
    MailIndex, Node, Placed,
};

pub(crate) mod blob_cases;
pub(crate) mod cluster_cases;
pub(crate) mod database_cases;
pub(crate) mod garbage_cases;
pub(crate) mod hold_cases;
pub(crate) mod index_cases;
pub(crate) mod model;

/// An engine with nothing in it.
pub(crate) struct Engine {
    pub(crate) index: Arc<dyn MailIndex>,
    pub(crate) holds: Arc<dyn Holds>,
    /// What has to live as long: a directory, a server.
    #[expect(dead_code, reason = "it is dropped with the rest")]
    pub(crate) keep: Box<dyn Any + Send + Sync>,
}

/// A place for blobs with nothing in it.
pub(crate) struct BlobStore {
    pub(crate) blobs: Arc<dyn Blobs>,
    /// What has to live as long.
    #[expect(dead_code, reason = "it is dropped with the rest")]
    pub(crate) keep: Box<dyn Any + Send + Sync>,
}

/// A database with a table `account (name text primary key, quota bigint, hash octets,
/// note text not null)` and in it alice (1, 0x00ff, "n"), bob (null, null, "") and carol
/// (-3, empty, "ü").
pub(crate) struct Accounts {
    pub(crate) database: Arc<dyn Database>,
    /// What has to live as long.
    #[expect(dead_code, reason = "it is dropped with the rest")]
    pub(crate) keep: Box<dyn Any + Send + Sync>,
}

/// Kinds that need nothing but this program.
pub(crate) fn always(_: &str) -> bool {
    true
}

/// No limits.
pub(crate) const FREE: Limits = Limits {
    weight: None,
    messages: None,
};

/// What is noted in an engine that has nothing noted stays until it is replaced; "b" is noted
/// under "bucket" afterwards.
pub(crate) async fn agreed_once(engine: &dyn Agreements) {
    let text = |text: &str| text.to_owned();
    assert_eq!(engine.agreed("bucket").await, Ok(None));
    for other in ["a", "b"] {
        assert_eq!(engine.agree("bucket", other).await, Ok(text("a")));
        assert_eq!(engine.agreed("bucket").await, Ok(Some(text("a"))));
    }
    assert_eq!(engine.agreed("other").await, Ok(None));
    assert_eq!(engine.agree_anew("bucket", None).await, Ok(()));
    assert_eq!(engine.agreed("bucket").await, Ok(None));
    for other in ["a", "b"] {
        assert_eq!(engine.agree_anew("bucket", Some(other)).await, Ok(()));
        assert_eq!(engine.agreed("bucket").await, Ok(Some(text(other))));
    }
}

/// A folder's parts.
pub(crate) fn folder(tenant: &str, maildrop: &str, folder: &str) -> Folder {
    Folder::new(tenant, maildrop, folder).unwrap()
}

/// A message of this name.
pub(crate) fn entry(name: &str) -> Entry {
    Entry {
        unique_id: None,
        octets: 100,
        surrogate: None,
        received: 1_700_000_000,
        name: name.to_owned(),
        digest: None,
        weight: 10,
    }
}

/// A path of the place "mail".
pub(crate) fn placed(path: &str) -> Placed {
    Placed {
        place: "mail".to_owned(),
        path: restante_engine::BlobPath::new(path).unwrap(),
    }
}

/// Texts out of a packed column.
pub(crate) fn unpack(packed: &str) -> Vec<String> {
    assert!(packed.is_empty() || packed.ends_with('\0'), "{packed:?}");
    packed.split_terminator('\0').map(str::to_owned).collect()
}

/// Unique-ids and names, after a look at the columns.
pub(crate) fn listed(entries: &Entries) -> Vec<(String, String)> {
    let unique_ids = unpack(&entries.unique_ids);
    let names = unpack(&entries.names);
    assert_eq!(unique_ids.len(), names.len());
    assert_eq!(unique_ids.len(), entries.octets.len());
    assert_eq!(unique_ids.len(), entries.received.len());
    unique_ids.into_iter().zip(names).collect()
}

/// Names of what went, and of what came.
pub(crate) fn told(difference: &Difference) -> (Vec<String>, Vec<String>) {
    let came = listed(&difference.came).into_iter().map(|(_, name)| name);
    (unpack(&difference.gone), came.collect())
}

impl Engine {
    /// Appends without limits or blob; its unique-id.
    pub(crate) async fn kept(&self, folder: &Folder, entry: &Entry) -> String {
        let appended = self.index.append(folder, entry, &FREE, None).await;
        match appended.unwrap() {
            restante_engine::Appended::Kept(unique_id) => unique_id,
            other => panic!("{other:?}"),
        }
    }

    /// Names in a folder.
    pub(crate) async fn names(&self, folder: &Folder) -> Vec<String> {
        let entries = self.index.read(folder).await.unwrap();
        listed(&entries).into_iter().map(|(_, name)| name).collect()
    }

    /// Holds a key for this node.
    pub(crate) async fn held(&self, key: &str, node: &Node) -> Hold {
        match self.holds.acquire(key, node).await.unwrap() {
            Acquired::Held(hold) => hold,
            other => panic!("{other:?}"),
        }
    }

    /// A node, and its hold on a key.
    pub(crate) async fn holder(&self, node: &str, key: &str) -> (Node, Hold) {
        let node = self.holds.join(node, "a test").await.unwrap();
        let hold = self.held(key, &node).await;
        (node, hold)
    }
}

/// Tests of an index and its holds; `$make` is an `async fn(Retention) -> Engine`.
#[macro_export]
macro_rules! engine_suite {
    ($make:path) => {
        engine_suite!($make, if $crate::suite::always);
    };
    ($make:path, if $is_there:path) => {
        engine_suite!(@cases $make, $is_there, index_cases:
            nothing_is_in_a_folder_that_was_never_written_to,
            entries_are_read_in_the_order_in_which_they_came,
            tenants_maildrops_and_folders_are_apart,
            an_entry_that_is_not_as_it_has_to_be_changes_nothing,
            unique_ids_that_are_brought_are_kept_apart_from_those_that_are_made,
            limits_hold_at_their_edge_and_in_a_race,
            the_same_again_is_a_duplicate_even_after_its_removal,
            duplicates_are_forgotten_in_time,
            all_are_removed_or_none,
            nothing_is_removed_without_the_hold,
            changes_are_what_came_and_went_since,
            changes_that_were_forgotten_are_not_told,
            unique_ids_are_never_made_twice,
            a_reader_of_changes_misses_nothing_in_a_race,
            a_folder_of_many_entries_is_read_whole_and_emptied_at_once,
        );
        engine_suite!(@cases $make, $is_there, garbage_cases:
            an_entry_has_a_blob_that_was_intended_for_it_alone,
            what_was_intended_and_not_kept_becomes_garbage,
            blobs_of_what_was_removed_become_garbage,
            a_turn_removes_garbage_and_forgets_it,
            a_place_that_does_not_answer_keeps_its_garbage_and_no_other,
            what_cannot_be_removed_keeps_nothing_else_from_being_removed,
        );
        engine_suite!(@cases $make, $is_there, hold_cases:
            one_holds_and_the_others_hear_who,
            fences_rise_and_keys_are_apart,
            of_many_at_once_one_gets_it,
            a_node_that_starts_again_frees_what_it_held,
            a_node_that_leaves_frees_what_it_held,
            a_term_runs_out_without_heartbeats_and_not_with_them,
            a_hold_that_was_taken_over_does_nothing,
            names_are_checked,
            a_hold_brings_what_the_index_says,
            what_a_hold_brings_is_read_when_it_is_taken,
            a_login_delay_runs_on_all_nodes,
            holds_of_one_visitor_are_counted_on_other_nodes,
        );
        engine_suite!(@cases $make, $is_there, cluster_cases:
            sessions_are_told_to_other_nodes,
            sessions_of_a_node_that_is_gone_are_nobodys,
            who_is_asked_to_end_sessions_hears_of_it_until_it_has_heard,
            penalties_are_told_once_to_each_other_node,
        );
        engine_suite!(@cases $make, $is_there, model:
            answers_are_those_of_a_vector,
        );
    };
    (@cases $make:path, $is_there:path, $cases:ident: $($case:ident,)*) => {
        mod $cases {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if !$is_there(stringify!($case)) {
                        return;
                    }
                    $crate::suite::$cases::$case($make).await;
                }
            )*
        }
    };
}

/// Tests of blobs; `$make` is an `async fn() -> BlobStore`.
#[macro_export]
macro_rules! blob_suite {
    ($make:path) => {
        blob_suite!($make, if $crate::suite::always);
    };
    ($make:path, if $is_there:path) => {
        object_store_suite!($make, if $is_there);
        mod unique_blob_cases {
            object_store_suite!(@cases $make, $is_there:
                nothing_is_written_over,
            );
        }
    };
}

/// Tests of blobs whose kind cannot tell that it writes over something; `$make` is an
/// `async fn() -> BlobStore`.
#[macro_export]
macro_rules! object_store_suite {
    ($make:path) => {
        object_store_suite!($make, if $crate::suite::always);
    };
    ($make:path, if $is_there:path) => {
        object_store_suite!(@with_short_names $make, $is_there);
        mod long_name_cases {
            object_store_suite!(@cases $make, $is_there:
                long_paths_that_look_alike_are_apart,
            );
        }
    };
    // Of a store that cannot have objects with names as long as S3 allows.
    (@with_short_names $make:path, $is_there:path) => {
        mod blob_cases {
            object_store_suite!(@cases $make, $is_there:
                what_was_written_is_read_whole_and_in_part,
                nothing_is_there_before_it_is_finished,
                octets_are_as_many_as_were_announced,
                what_is_removed_is_gone_and_removing_is_repeated_freely,
                paths_that_look_alike_are_apart,
                large_blobs_are_streamed,
            );
        }
    };
    (@cases $make:path, $is_there:path: $($case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if !$is_there(stringify!($case)) {
                    return;
                }
                $crate::suite::blob_cases::$case($make).await;
            }
        )*
    };
}

/// Tests of databases; `$make` is an `async fn() -> Accounts`.
#[macro_export]
macro_rules! database_suite {
    ($make:path) => {
        database_suite!($make, if $crate::suite::always);
    };
    ($make:path, if $is_there:path) => {
        mod database_cases {
            database_suite!(@cases $make, $is_there:
                columns_are_packed_with_their_nulls,
                parameters_are_by_number_wherever_they_stand,
                parameters_that_do_not_suit_are_refused,
                a_query_changes_nothing,
                changes_are_made_all_or_none,
                what_a_change_tells_is_rows_changed_or_told,
                statements_that_are_not_of_rows_are_refused,
                answers_are_bounded,
                calls_are_bounded,
            );
        }
    };
    (@cases $make:path, $is_there:path: $($case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                if !$is_there(stringify!($case)) {
                    return;
                }
                $crate::suite::database_cases::$case($make).await;
            }
        )*
    };
}

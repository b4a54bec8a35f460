//! The checker over the hold: as built it finds nothing; with one fault put in it finds that.
//! Bounds are for a release build, as `cargo xtask test` makes it: some seconds.

use restante_model::{Design, System};
use stateright::{Checker, HasDiscoveries, Model};

/// Walks through all of it, or until the property is broken that is looked for, and says how
/// much that was.
fn check(system: System, broken: Option<&'static str>) -> impl Checker<System> {
    let finish = match broken {
        Some(name) => HasDiscoveries::AnyOf([name].into()),
        None => HasDiscoveries::AnyFailures,
    };
    let told = format!("{system:?}");
    let checker = system.checker().threads(2).symmetry().finish_when(finish);
    let checker = checker.spawn_dfs().join();
    eprintln!(
        "{told}: {} states, {} steps deep",
        checker.unique_state_count(),
        checker.max_depth()
    );
    checker
}

#[track_caller]
fn holds(holders: u8, faults: u8, delivers: bool) {
    let system = System {
        design: Design::BUILT,
        holders,
        faults,
        delivers,
    };
    check(system, None).assert_properties();
}

#[test]
fn the_hold_keeps_what_it_promises_to_one_after_another() {
    holds(3, 1, true);
}

/// With `RESTANTE_MODEL_LONG=1` while mail is delivered too, which takes minutes.
#[test]
fn the_hold_keeps_what_it_promises_after_two_faults() {
    holds(2, 2, std::env::var_os("RESTANTE_MODEL_LONG").is_some());
}

/// The design with one fault breaks this property. When the checker does not find that, the model
/// has become blind, which is worse than a fault.
#[track_caller]
fn finds(design: Design, broken: &'static str) {
    let system = System {
        design,
        holders: 2,
        faults: 2,
        delivers: true,
    };
    let checker = check(system, Some(broken));
    let found = checker.discoveries();
    if !found.contains_key(broken) {
        for (name, path) in &found {
            eprintln!("{name}: {path}");
        }
        panic!("nothing breaks {broken:?}; what was found is above");
    }
}

#[test]
fn without_the_token_check_two_remove_the_same() {
    let design = Design {
        token_check: false,
        ..Design::BUILT
    };
    finds(design, "removed by one who is told so, only");
}

#[test]
fn an_inquiry_that_only_reads_tells_what_does_not_last() {
    let design = Design {
        inquiry_writes: false,
        ..Design::BUILT
    };
    finds(design, "+OK: the messages are gone, for good");
    finds(design, "250: the message is there, or was fetched");
}

#[test]
fn one_marker_for_all_removals_is_overwritten_before_it_is_read() {
    let design = Design {
        marker_each: false,
        ..Design::BUILT
    };
    finds(design, "-ERR: nothing was removed");
}

#[test]
fn a_hold_whose_answer_was_lost_keeps_its_own_node_out() {
    let design = Design {
        own_term_too: false,
        ..Design::BUILT
    };
    finds(design, "all can have the maildrop again");
}

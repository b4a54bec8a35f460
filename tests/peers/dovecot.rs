//! The dialogues of the protocol crate, played against this server and against
//! Debian's Dovecot on the same Maildir. Each difference has to be in the list,
//! with the sentence of the RFC that decides about it.
mod list;
mod outcome;
mod play;
mod wire;

use std::io::Write as _;
use std::process::Command;
use std::sync::Mutex;

use restante_tests::{Site, Tool, require, run_to_end};

use crate::dialogue::Dialogue;
use list::Difference;

/// The Dovecot that the list was made with; another series has another
/// configuration, and other differences.
const SERIES: &str = "2.3";
/// Pairs of servers at a time. They spend their time waiting: Dovecot lets
/// failed logins and its own end wait for up to a second.
const PAIRS: usize = 8;
/// Fewer dialogues than this are played by both only if many were lost.
const FEWEST: usize = 75;

const DOVECOT: Tool = Tool {
    name: "Dovecot",
    probe: &["test", "-x", "/usr/lib/dovecot/pop3-login"],
    packages: &["dovecot-pop3d"],
};

#[test]
fn every_difference_from_dovecot_is_judged() {
    if !require("side by side with Dovecot", &[&DOVECOT]) || !is_of_the_series() {
        return;
    }
    let (dialogues, left_out) = crate::dialogue::all();
    assert!(dialogues.len() >= FEWEST, "{} dialogues", dialogues.len());
    let next = Mutex::new(dialogues.iter());
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..PAIRS {
            scope.spawn(|| {
                loop {
                    let dialogue = next.lock().unwrap().next();
                    let Some(dialogue) = dialogue else { break };
                    let differences = side_by_side(dialogue);
                    found.lock().unwrap().extend(differences);
                }
            });
        }
    });
    list::settle(dialogues.len(), &left_out, found.into_inner().unwrap());
}

/// Plays a dialogue against both.
fn side_by_side(dialogue: &Dialogue) -> Vec<Difference> {
    let mut site = Site::new();
    let tls = wire::trusting(&site.certificate.authority);
    let dovecot = crate::pair::Dovecot::start(&site.certificate, dialogue);
    let ours = crate::pair::Restante::start(&mut site, dialogue);
    let (ours, dovecots) = (
        play::play(&ours, dialogue, &tls),
        play::play(&dovecot, dialogue, &tls),
    );
    assert_eq!(ours.len(), dovecots.len(), "{}", dialogue.name);
    ours.into_iter()
        .zip(dovecots)
        .enumerate()
        .filter_map(|(step, (one, other))| {
            let (ours, dovecot) = outcome::differ(&one.sent, &one.outcome, &other.outcome)?;
            Some(Difference {
                dialogue: dialogue.name.clone(),
                step,
                client: one.sent,
                ours,
                dovecot,
                reason: String::new(),
            })
        })
        .collect()
}

fn is_of_the_series() -> bool {
    let version = run_to_end(Command::new("dovecot").arg("--version")).stdout;
    if version.starts_with(&format!("{SERIES}.")) {
        return true;
    }
    let message = format!(
        "skipped: side by side with Dovecot needs Dovecot {SERIES}, and this is {}",
        version.trim()
    );
    assert!(
        std::env::var("CI").as_deref() != Ok("true"),
        "{message}; with CI=true nothing may be skipped"
    );
    let _ = writeln!(std::io::stderr(), "{message}");
    false
}

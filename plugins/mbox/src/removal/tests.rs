use super::*;
use std::time::Duration;

use restante_guest::testing::Granted;

const WAIT: Duration = Duration::from_secs(5);

/// An mbox of pieces that tell which they are, and what stays when some go.
struct Bench {
    granted: Granted,
    path: PathBuf,
    before: Vec<u8>,
    after: Vec<u8>,
    cuts: Vec<Range<u64>>,
}

impl Bench {
    fn new(lengths: &[usize], cut: &[usize]) -> Bench {
        let granted = Granted::new();
        let (mut before, mut after, mut cuts) = (Vec::new(), Vec::new(), Vec::new());
        for (number, length) in lengths.iter().enumerate() {
            let start = before.len() as u64;
            let piece: Vec<u8> = (0..*length)
                .map(|at| (number * 31 + at * 7) as u8)
                .collect();
            before.extend_from_slice(&piece);
            match cut.contains(&number) {
                true => cuts.push(start..before.len() as u64),
                false => after.extend_from_slice(&piece),
            }
        }
        granted.write("mbox", &before);
        Bench {
            path: granted.path().join("mbox"),
            granted,
            before,
            after,
            cuts,
        }
    }

    fn with<T>(&self, act: impl FnOnce(Removal<'_>) -> T) -> T {
        let mut lock = Lock::take(&self.path, WAIT, WAIT).unwrap();
        act(Removal::new(self.granted.path(), &self.path, &mut lock))
    }

    /// The journal as it stands after step 1.
    fn journal(&self) -> Vec<u8> {
        let first = self.cuts[0].start;
        let tail = &self.after[first as usize..];
        let mut mbox = File::open(&self.path).unwrap();
        let size = self.before.len() as u64;
        let plan = Plan {
            offset: first,
            old_size: size,
            tail: tail.len() as u64,
            rest: sample(&mut mbox, first + tail.len() as u64..size).unwrap(),
        };
        [plan.render(), tail.to_vec()].concat()
    }

    /// A kill left this: an mbox, and the journal.
    fn found(&self, mbox: &[u8], journal: &[u8]) {
        self.granted.write("mbox", mbox);
        fs::write(journal_of(&self.path), journal).unwrap();
    }

    fn is_clean(&self, expected: &[u8], what: &str) {
        assert!(self.granted.read("mbox") == expected, "{what}");
        assert_eq!(
            fs::read_dir(self.granted.path()).unwrap().count(),
            1,
            "{what}"
        );
    }
}

const SHAPES: [(&[usize], &[usize]); 7] = [
    (&[5, 9, 7], &[0]),
    (&[5, 9, 7], &[1]),
    (&[5, 9, 7], &[2]),
    (&[5, 9, 7], &[0, 1, 2]),
    (&[5, 9, 7, 3, 20], &[0, 3]),
    (&[50, 1, 7, 1, 20], &[1, 3]),
    (&[1, 300_000, 300_000], &[0]),
];

#[test]
fn what_is_cut_is_gone_and_nothing_else() {
    for (lengths, cut) in SHAPES {
        let bench = Bench::new(lengths, cut);
        let size = bench.before.len() as u64;
        bench
            .with(|removal| removal.cut(&bench.cuts, size))
            .unwrap();
        bench.is_clean(&bench.after, "cut");
    }
}

#[test]
fn a_kill_at_any_moment_loses_nothing_and_nothing_that_was_appended_since() {
    for (lengths, cut) in SHAPES.into_iter().take(6) {
        let bench = Bench::new(lengths, cut);
        let first = bench.cuts[0].start as usize;
        let tail = &bench.after[first..];
        if tail.is_empty() {
            continue;
        }
        let journal = bench.journal();
        let news = [&b""[..], b"x", &[200; 40]];
        for new in news {
            let expected = [&bench.after, new].concat();
            // In step 1: nothing has happened.
            for written in 0..journal.len() {
                bench.granted.write("mbox", [&bench.before, new].concat());
                let half = bench.granted.path().join(".mbox.restante-removal.new");
                fs::write(&half, &journal[..written]).unwrap();
                bench.with(|removal| removal.settle()).unwrap();
                assert!(bench.granted.read("mbox") == [&bench.before, new].concat());
                fs::remove_file(half).unwrap();
            }
            // In step 2, as far as it came, or with the octets on the disk that came last.
            for written in 0..=tail.len() {
                for range in [0..written, written..tail.len()] {
                    let mut mbox = bench.before.clone();
                    mbox[first..][range.clone()].copy_from_slice(&tail[range]);
                    bench.found(&[&mbox, new].concat(), &journal);
                    bench.with(|removal| removal.settle()).unwrap();
                    bench.is_clean(&expected, "step 2");
                }
            }
            // Behind step 3.
            bench.found(&expected, &journal);
            bench.with(|removal| removal.settle()).unwrap();
            bench.is_clean(&expected, "step 3");
            // What was appended is in a longer journal, and the kill comes again.
            bench.found(&[&bench.before, new].concat(), &journal);
            bench.with(|mut removal| {
                let Journal::Whole(plan) = removal.read_journal().unwrap() else {
                    panic!("no journal");
                };
                let mut mbox = File::open(&bench.path).unwrap();
                let size = mbox.metadata().unwrap().len();
                removal.lengthen(&mut mbox, &plan, size).unwrap();
            });
            bench.with(|removal| removal.settle()).unwrap();
            bench.is_clean(&expected, "a longer journal");
        }
    }
}

#[test]
fn an_mbox_that_somebody_rewrote_is_left_alone_and_the_journal_is_kept() {
    let bench = Bench::new(&[50, 90, 70], &[1]);
    let journal = bench.journal();
    for rewritten in [&b""[..], b"all anew", &[7; 210], &[7; 500]] {
        bench.found(rewritten, &journal);
        bench.with(|removal| removal.settle()).unwrap();
        assert_eq!(bench.granted.read("mbox"), rewritten);
        let kept = bench.granted.read("mbox.restante-rescued-1");
        assert_eq!(kept, journal);
        fs::remove_file(bench.granted.path().join("mbox.restante-rescued-1")).unwrap();
    }
    // No journal of ours.
    for foreign in [&b""[..], b"text", &journal[..journal.len() - 1]] {
        bench.found(&bench.before, foreign);
        bench.with(|removal| removal.settle()).unwrap();
        assert_eq!(bench.granted.read("mbox"), bench.before);
        assert_eq!(bench.granted.read("mbox.restante-rescued-1"), foreign);
        fs::remove_file(bench.granted.path().join("mbox.restante-rescued-1")).unwrap();
    }
    fs::remove_file(&bench.path).unwrap();
    fs::write(journal_of(&bench.path), &journal).unwrap();
    bench.with(|removal| removal.settle()).unwrap();
    assert_eq!(bench.granted.read("mbox.restante-rescued-1"), journal);
}

#[test]
fn who_has_lost_the_lock_changes_nothing() {
    for (lengths, cut) in SHAPES {
        let bench = Bench::new(lengths, cut);
        let size = bench.before.len() as u64;
        let error = bench.with(|removal| {
            let lock = bench.granted.path().join("mbox.lock");
            fs::rename(&lock, bench.granted.path().join("mbox.lock.old")).unwrap();
            fs::write(&lock, "theirs").unwrap();
            removal.cut(&bench.cuts, size)
        });
        assert_eq!(error.unwrap_err().kind(), ErrorKind::ResourceBusy);
        assert!(bench.granted.read("mbox") == bench.before);
        assert!(!journal_of(&bench.path).exists());
    }
}

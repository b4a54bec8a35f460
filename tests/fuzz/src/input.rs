//! How the octets of an input are used by the targets that cut and answer: 16
//! octets of choices, then what is cut.
//!
//! ```text
//! 0..4    lengths of chunks, in a circle
//! 4..12   how the driver answers, in a circle
//! 12..16  settings and channel
//! ```

/// Octets in front of what is cut.
pub(crate) const CHOICES: usize = 16;

/// An input, taken apart. What it lacks is 0.
pub(crate) struct Input<'a> {
    lengths: [u8; 4],
    pub(crate) answers: Answers,
    pub(crate) settings: [u8; 4],
    pub(crate) octets: &'a [u8],
}

/// Choices that never end.
#[derive(Clone)]
pub(crate) struct Answers {
    choices: [u8; 8],
    taken: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn read(input: &'a [u8]) -> Self {
        let (front, octets) = input.split_at(input.len().min(CHOICES));
        let at = |index: usize| front.get(index).copied().unwrap_or_default();
        Input {
            lengths: std::array::from_fn(at),
            answers: Answers {
                choices: std::array::from_fn(|index| at(4 + index)),
                taken: 0,
            },
            settings: std::array::from_fn(|index| at(12 + index)),
            octets,
        }
    }

    /// `octets` in chunks, some of them empty.
    pub(crate) fn chunks<'o>(&self, octets: &'o [u8]) -> Vec<&'o [u8]> {
        let lengths = match self.lengths {
            [0, 0, 0, 0] => [1; 4],
            lengths => lengths,
        };
        let mut chunks = Vec::new();
        let mut rest = octets;
        for length in lengths.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, behind) = rest.split_at(usize::from(*length).min(rest.len()));
            chunks.push(chunk);
            rest = behind;
        }
        chunks
    }
}

impl Answers {
    pub(crate) fn next(&mut self) -> u8 {
        let choice = self.choices[self.taken % self.choices.len()];
        self.taken += 1;
        choice
    }
}

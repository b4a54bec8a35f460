//! An output of whole lines. Knows neither what is in them nor who reads them.

use std::io::{self, Write};

/// Writes lines one after another. What there was no room for ends a line that was begun:
/// the next does not go on in it.
pub(super) struct Lines<W> {
    output: W,
    /// The end of the last line is missing.
    is_torn: bool,
}

impl<W: Write> Lines<W> {
    pub(super) fn new(output: W) -> Self {
        Lines {
            output,
            is_torn: false,
        }
    }

    /// Writes a line with its line end.
    ///
    /// # Errors
    /// It is not there, or not all of it.
    pub(super) fn put(&mut self, line: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.write(b"\n")?;
            self.is_torn = false;
        }
        self.write(line)?;
        self.output.flush()
    }

    fn write(&mut self, mut left: &[u8]) -> io::Result<()> {
        while !left.is_empty() {
            match self.output.write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    left = &left[written..];
                    self.is_torn = !left.is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

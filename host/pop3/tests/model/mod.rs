//! The maildrop as RFC 1939 tells of it, as simple as can be: what each command
//! of the TRANSACTION state has to answer. Shared with the fuzz targets.

/// Message n of m is n octets of text and a line end.
pub(crate) fn octets(number: usize) -> usize {
    number + 2
}

/// What a client asks for, numbers as it says them.
#[derive(Debug, Clone)]
pub(crate) enum Wish {
    Dele(usize),
    Rset,
    Retr(usize),
    Top(usize),
    List(Option<usize>),
    Uidl(Option<usize>),
    Stat,
    Noise,
}

impl Wish {
    pub(crate) fn command(&self) -> String {
        match self {
            Wish::Dele(number) => format!("DELE {number}\r\n"),
            Wish::Rset => "RSET\r\n".into(),
            Wish::Retr(number) => format!("RETR {number}\r\n"),
            Wish::Top(number) => format!("TOP {number} 5\r\n"),
            Wish::List(None) => "LIST\r\n".into(),
            Wish::List(Some(number)) => format!("LIST {number}\r\n"),
            Wish::Uidl(None) => "UIDL\r\n".into(),
            Wish::Uidl(Some(number)) => format!("UIDL {number}\r\n"),
            Wish::Stat => "STAT\r\n".into(),
            Wish::Noise => "DELETE 1\r\n".into(),
        }
    }
}

/// A mark for each message.
pub(crate) struct Model {
    pub(crate) marked: Vec<bool>,
}

impl Model {
    fn visible(&self, number: usize) -> bool {
        (1..=self.marked.len()).contains(&number) && !self.marked[number - 1]
    }

    fn numbers(&self) -> Vec<usize> {
        let all = 1..=self.marked.len();
        all.filter(|number| self.visible(*number)).collect()
    }

    pub(crate) fn numbers_marked(&self) -> Vec<usize> {
        let all = 1..=self.marked.len();
        all.filter(|number| self.marked[number - 1]).collect()
    }

    /// The reply, its human text left out.
    pub(crate) fn reply(&mut self, wish: &Wish) -> String {
        let id = |number: usize| format!("{number} id{number}\r\n");
        let size = |number: usize| format!("{number} {}\r\n", octets(number));
        match *wish {
            Wish::Dele(number) if self.visible(number) => {
                self.marked[number - 1] = true;
                "+OK\r\n".into()
            }
            Wish::Rset => {
                self.marked.fill(false);
                "+OK\r\n".into()
            }
            Wish::Retr(number) | Wish::Top(number) if self.visible(number) => {
                format!("+OK\r\n{}\r\n.\r\n", "x".repeat(number))
            }
            Wish::List(Some(number)) if self.visible(number) => format!("+OK {}", size(number)),
            Wish::Uidl(Some(number)) if self.visible(number) => format!("+OK {}", id(number)),
            Wish::List(None) | Wish::Uidl(None) => {
                let mut reply = String::from("+OK\r\n");
                for number in self.numbers() {
                    match wish {
                        Wish::List(_) => reply += &size(number),
                        _ => reply += &id(number),
                    }
                }
                reply + ".\r\n"
            }
            Wish::Stat => {
                let numbers = self.numbers();
                let total: usize = numbers.iter().map(|number| octets(*number)).sum();
                format!("+OK {} {total}\r\n", numbers.len())
            }
            _ => "-ERR\r\n".into(),
        }
    }
}

/// A reply with the text of its status line left out, where it is for humans.
pub(crate) fn without_text(reply: &[u8], wish: &Wish) -> String {
    let reply = String::from_utf8_lossy(reply);
    if matches!(wish, Wish::Stat | Wish::List(Some(_)) | Wish::Uidl(Some(_)))
        && reply.starts_with("+OK")
    {
        return reply.into();
    }
    let (status, rest) = reply.split_once("\r\n").expect("a status line");
    let indicator = status.split(' ').next().unwrap_or_default();
    format!("{indicator}\r\n{rest}")
}

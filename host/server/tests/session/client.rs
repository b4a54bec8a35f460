//! A client that says lines and insists on what it hears.

use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};

pub(crate) struct Client<S> {
    stream: BufReader<S>,
}

impl Client<TcpStream> {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Client::new(TcpStream::connect(address).await.unwrap())
    }

    /// From this address, one of 127.0.0.0/8.
    pub(crate) async fn connect_from(from: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((IpAddr::from(from), 0).into()).unwrap();
        Client::new(socket.connect(address).await.unwrap())
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.stream.get_ref().local_addr().unwrap()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Client {
            stream: BufReader::new(stream),
        }
    }

    /// The stream, for another protocol layer; nothing may be left unread.
    pub(crate) fn into_inner(self) -> S {
        assert!(self.stream.buffer().is_empty(), "octets nobody asked for");
        self.stream.into_inner()
    }

    pub(crate) async fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Whether somebody is there to take it.
    pub(crate) async fn try_send(&mut self, octets: &[u8]) -> bool {
        self.stream.write_all(octets).await.is_ok()
    }

    /// One line without its CRLF.
    pub(crate) async fn line(&mut self) -> String {
        let line = self.raw_line().await;
        String::from_utf8(line).expect("status lines are ASCII")
    }

    async fn raw_line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        loop {
            let octet = self.stream.read_u8().await;
            let octet = octet.unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&line))
            });
            line.push(octet);
            if line.ends_with(b"\r\n") {
                line.truncate(line.len() - 2);
                return line;
            }
        }
    }

    /// Says a command and hears its status line.
    pub(crate) async fn ask(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n")).await;
        self.line().await
    }

    pub(crate) async fn ok(&mut self, command: &str) -> String {
        let reply = self.ask(command).await;
        assert!(reply.starts_with("+OK"), "{command}: {reply}");
        reply
    }

    /// A command that is answered with -ERR and these words.
    pub(crate) async fn err(&mut self, command: &str, words: &str) {
        let reply = self.ask(command).await;
        assert!(reply.starts_with("-ERR"), "{command}: {reply}");
        assert!(reply.contains(words), "{command}: {reply}");
    }

    pub(crate) async fn greeting(&mut self) {
        let greeting = self.line().await;
        assert!(greeting.starts_with("+OK "), "{greeting}");
    }

    pub(crate) async fn log_in(&mut self, user: &str, password: &str) {
        self.ok(&format!("USER {user}")).await;
        self.ok(&format!("PASS {password}")).await;
    }

    pub(crate) async fn greeting_and_login(&mut self) {
        self.greeting().await;
        self.log_in("u", "secret").await;
    }

    /// The lines of a multi-line response, byte-stuffing undone (RFC 1939
    /// section 3), joined with CRLF.
    pub(crate) async fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = self.raw_line().await;
            if line == b"." {
                return body;
            }
            let line = line.strip_prefix(b".").unwrap_or(&line);
            body.extend_from_slice(line);
            body.extend_from_slice(b"\r\n");
        }
    }

    /// A multi-line response as text.
    pub(crate) async fn lines(&mut self, command: &str) -> String {
        self.ok(command).await;
        String::from_utf8(self.body().await).unwrap()
    }

    pub(crate) async fn octets<const N: usize>(&mut self) -> [u8; N] {
        let mut octets = [0; N];
        self.stream.read_exact(&mut octets).await.unwrap();
        octets
    }

    /// What comes before the orderly end of the stream.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.unwrap();
        rest
    }

    /// What comes before the end of the stream, be it orderly or not.
    pub(crate) async fn whatever(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest).await;
        rest
    }

    pub(crate) async fn ends_without_a_word(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }
}

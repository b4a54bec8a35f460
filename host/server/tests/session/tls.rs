//! TLS from the first octet, and after STLS (RFC 2595, RFC 8314).

use std::io;
use std::sync::Arc;

use restante_config::ListenerTls;
use restante_server::connection::End;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsConnector, rustls};

use crate::client::Client;
use crate::world::{Plan, World};

const MAIL: [(&str, &str); 1] = [("one", "Subject: one\n\nover TLS\n")];

pub(crate) async fn handshake<S>(
    world: &World,
    stream: S,
    alpn: &[&[u8]],
) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    connector(world, alpn)
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
}

fn connector(world: &World, alpn: &[&[u8]]) -> TlsConnector {
    let own = world.own.as_ref().unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(own.certificate_pem.as_bytes()).unwrap();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn implicit_tls_from_the_first_octet_to_the_last() {
    let world = Plan::new().mail(&MAIL).tls().begin();
    let (address, _listening) = world.listen(ListenerTls::Implicit);
    let stream = TcpStream::connect(address).await.unwrap();
    let mut client = Client::new(handshake(&world, stream, &[]).await.unwrap());
    client.greeting().await;
    let capabilities = client.lines("CAPA").await;
    assert!(!capabilities.contains("STLS"), "{capabilities}");
    assert!(capabilities.contains("USER\r\n"), "{capabilities}");
    client.log_in("u", "secret").await;
    assert_eq!(
        client.lines("RETR 1").await,
        "Subject: one\r\n\r\nover TLS\r\n"
    );
    client.ok("QUIT").await;
    // Without close_notify this would be an error.
    client.ends_without_a_word().await;
}

#[tokio::test]
async fn sessions_are_resumed() {
    let world = Plan::new().mail(&MAIL).tls().begin();
    let (address, _listening) = world.listen(ListenerTls::Implicit);
    let connector = connector(&world, &[]);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = Client::new(connector.connect(name, stream).await.unwrap());
        client.greeting_and_login().await;
        client.ok("QUIT").await;
        client.ends_without_a_word().await;
        let (_, connection) = client.into_inner().into_inner();
        kinds.push(connection.handshake_kind().unwrap());
    }
    assert_eq!(kinds[0], rustls::HandshakeKind::Full);
    assert_eq!(kinds[1], rustls::HandshakeKind::Resumed);
}

#[tokio::test]
async fn another_protocols_client_is_refused() {
    let world = Plan::new().tls().begin();
    let (address, _listening) = world.listen(ListenerTls::Implicit);
    for (alpn, welcome) in [
        (vec![], true),
        (vec![&b"pop3"[..]], true),
        (vec![&b"http/1.1"[..], b"pop3"], true),
        (vec![&b"http/1.1"[..], b"h2"], false),
    ] {
        let stream = TcpStream::connect(address).await.unwrap();
        let shaken = handshake(&world, stream, &alpn).await;
        assert_eq!(shaken.is_ok(), welcome, "{alpn:?}");
    }
}

#[tokio::test]
async fn stls_forgets_what_was_said_before() {
    let world = Plan::new().mail(&MAIL).tls().begin();
    let (mut client, _session) = world.pipe(ListenerTls::StartTls);
    client.greeting().await;
    assert!(client.lines("CAPA").await.contains("STLS\r\n"));
    client.ok("USER u").await;
    client.ok("STLS").await;
    let stream = handshake(&world, client.into_inner(), &[b"pop3"]).await;
    let mut client = Client::new(stream.unwrap());
    // No second greeting, no USER, no second STLS.
    client.err("PASS secret", "").await;
    assert!(!client.lines("CAPA").await.contains("STLS"));
    client.err("STLS", "").await;
    client.log_in("u", "secret").await;
    client.ok("QUIT").await;
    client.ends_without_a_word().await;
}

#[tokio::test]
async fn what_is_injected_behind_stls_is_thrown_away() {
    let world = Plan::new().mail(&MAIL).tls().begin();
    // Whole commands, and the beginning of one that would swallow the client's.
    for injected in ["USER evil\r\n", "NOOP\r\nUSER evil\r\nPA", "XYZ"] {
        let (mut client, _session) = world.pipe(ListenerTls::StartTls);
        client.greeting().await;
        client.send(format!("STLS\r\n{injected}")).await;
        assert!(client.line().await.starts_with("+OK"));
        let stream = handshake(&world, client.into_inner(), &[]).await;
        let mut client = Client::new(stream.unwrap());
        // Were it kept, this would be the answer to something else.
        let capabilities = client.lines("CAPA").await;
        assert!(capabilities.starts_with("TOP\r\n") || capabilities.contains("\r\nTOP\r\n"));
        client.err("PASS secret", "").await;
        client.log_in("u", "secret").await;
        client.ok("QUIT").await;
        client.ends_without_a_word().await;
    }
}

#[tokio::test]
async fn a_handshake_that_fails_ends_the_connection() {
    let world = Plan::new().tls().begin();
    let (mut client, session) = world.pipe(ListenerTls::StartTls);
    client.greeting().await;
    client.ok("STLS").await;
    client.send("USER u\r\nPASS secret\r\n").await;
    let rest = client.rest().await;
    assert!(!rest.windows(3).any(|three| three == b"+OK"), "{rest:?}");
    assert!(matches!(session.await.unwrap(), End::Handshake(_)));
}

#[tokio::test]
async fn a_large_message_through_tls() {
    let large = format!("Subject: large\n\n{}", ".0123456789\n".repeat(100_000));
    let world = Plan::new().mail(&[("large", &large)]).tls().begin();
    let (address, _listening) = world.listen(ListenerTls::Implicit);
    let stream = TcpStream::connect(address).await.unwrap();
    let mut client = Client::new(handshake(&world, stream, &[]).await.unwrap());
    client.greeting_and_login().await;
    client.ok("RETR 1").await;
    assert!(client.body().await == large.replace('\n', "\r\n").as_bytes());
}

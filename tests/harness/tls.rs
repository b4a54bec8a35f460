//! The client's side of TLS.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::Certificate;

/// A socket, and TLS on it once that is up.
#[derive(Debug)]
pub enum Stream {
    /// In the clear.
    Clear(TcpStream),
    /// Encrypted.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// TLS from here on, with this server name; the certificate has to be good
    /// for it.
    pub fn under_tls(&self, name: &str, certificate: &Certificate) -> Stream {
        self.under_tls_of(rustls::DEFAULT_VERSIONS, name, certificate)
    }

    /// The same with these versions only.
    pub fn under_tls_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        name: &str,
        certificate: &Certificate,
    ) -> Stream {
        self.try_tls_of(versions, name, certificate).unwrap()
    }

    /// The same.
    ///
    /// # Errors
    /// The server does not agree.
    pub fn try_tls_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        name: &str,
        certificate: &Certificate,
    ) -> io::Result<Stream> {
        let authority = fs::read(&certificate.authority).unwrap();
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(&authority).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = self.socket().try_clone().unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// The version of TLS that was agreed on.
    pub fn version(&self) -> Option<rustls::ProtocolVersion> {
        match self {
            Stream::Clear(_) => None,
            Stream::Tls(stream) => stream.conn.protocol_version(),
        }
    }

    /// What is below.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Stream::Clear(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Clear(socket) => socket.read(octets),
            Stream::Tls(stream) => stream.read(octets),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Clear(socket) => socket.write(octets),
            Stream::Tls(stream) => stream.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Clear(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}

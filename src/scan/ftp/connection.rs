//! A conversation with an FTP server over one control connection: passive, in bytes, every step within its time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt as _;
use suppaftp::tokio::{AsyncRustlsConnector, AsyncRustlsFtpStream};
use suppaftp::tokio_rustls::TlsConnector;
use suppaftp::types::FileType;
use suppaftp::{Encoding, FtpError, Mode, Status};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::super::secret::Secret;

/// Who is asked, and how.
pub(super) struct Door {
    /// The host's name, for its certificate.
    pub(super) host: String,
    /// Its addresses, which were checked.
    pub(super) addresses: Vec<SocketAddr>,
    /// Whether and when the conversation is encrypted.
    pub(super) tls: Tls,
    /// Who asks.
    pub(super) user: String,
    /// With which password.
    pub(super) password: Option<Secret>,
    /// How long one question may take in all.
    pub(super) timeout: Duration,
    /// How many bytes one listing may have.
    pub(super) bytes: usize,
}

/// Encryption (RFC 4217).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tls {
    /// None.
    Off,
    /// After `AUTH TLS`.
    Explicit,
    /// From the first byte.
    Implicit,
}

/// Why something has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No connection.
    #[error("can't connect: {0}")]
    Connect(String),
    /// The server says no to this question.
    #[error("the server answers {0:?}")]
    Refused(String),
    /// The connection is of no use any more.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// More bytes than allowed.
    #[error("the listing is larger than {0} bytes")]
    TooLarge(usize),
}

impl Failure {
    /// Whether the conversation can go on.
    pub(super) const fn is_an_answer(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// The form of listings that the server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// MLSD: for programs.
    Machine,
    /// LIST: for people.
    Human,
}

/// Whether it is known with which command data connections are asked for: EPSV at first, else PASV.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passive {
    Unsure,
    Sure,
}

/// A conversation.
pub(super) struct Connection {
    stream: AsyncRustlsFtpStream,
    form: Form,
    passive: Passive,
    /// The directory after the login, which paths in URLs start at (RFC 1738 section 3.2.2).
    home: Vec<u8>,
    timeout: Duration,
    bytes: usize,
}

/// Who has no user name (RFC 1635).
pub(super) const ANONYMOUS: &str = "anonymous";
/// How much of a server's word is shown.
const MAX_SHOWN: usize = 200;

/// Names are bytes: each is a character in the library's hands.
#[derive(Debug)]
struct Bytes;

impl Encoding for Bytes {
    fn decode(&self, bytes: &[u8]) -> String {
        bytes.iter().copied().map(char::from).collect()
    }

    fn encode(&self, text: &str) -> io::Result<Vec<u8>> {
        let byte = |c| u8::try_from(u32::from(c)).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        text.chars().map(byte).collect()
    }
}

impl Connection {
    /// Connects to the first of the addresses that answers, and logs in.
    ///
    /// # Errors
    /// When no address lets us in.
    pub(super) async fn open(door: &Door) -> Result<Self, Failure> {
        let mut last = Failure::Connect("it has no address".to_owned());
        for &address in &door.addresses {
            match tokio::time::timeout(door.timeout, Self::open_at(door, address)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(failure @ Failure::Refused(_))) => return Err(failure),
                Ok(Err(failure)) => last = failure,
                Err(_) => last = Failure::Timeout,
            }
        }
        Err(last)
    }

    async fn open_at(door: &Door, address: SocketAddr) -> Result<Self, Failure> {
        let connect = |error: FtpError| match failure(error) {
            Failure::Broken(why) => Failure::Connect(why),
            other => other,
        };
        let mut stream = match door.tls {
            Tls::Implicit => {
                AsyncRustlsFtpStream::connect_secure_implicit(address, connector()?, &door.host).await.map_err(connect)?
            }
            Tls::Off | Tls::Explicit => {
                let socket = TcpStream::connect(address).await.map_err(|error| Failure::Connect(error.to_string()))?;
                AsyncRustlsFtpStream::connect_with_stream(socket).await.map_err(connect)?
            }
        };
        if door.tls == Tls::Explicit {
            stream = stream.into_secure(connector()?, &door.host).await.map_err(connect)?;
        }
        if door.tls == Tls::Implicit {
            // The library encrypts data from now on; the server has to be told (RFC 4217 section 9). One that takes that for granted may refuse.
            for order in ["PBSZ 0", "PROT P"] {
                match stream.custom_command(order, &[Status::CommandOk]).await.map_err(failure) {
                    Ok(_) | Err(Failure::Refused(_)) => {}
                    Err(broken) => return Err(broken),
                }
            }
        }
        stream.set_encoding(Bytes).await;
        let password = door.password.as_ref().map_or("redirector@", Secret::reveal);
        stream.login(encoded(door.user.as_bytes()), encoded(password.as_bytes())).await.map_err(failure)?;
        stream.transfer_type(FileType::Binary).await.map_err(failure)?;
        // The answer to PASV may name any host; data comes from the one that was asked.
        stream.set_passive_nat_workaround(true);
        stream.set_mode(Mode::ExtendedPassive);
        let form = match stream.feat().await {
            Ok(features)
                if features.keys().any(|name| name.eq_ignore_ascii_case("MLST") || name.eq_ignore_ascii_case("MLSD")) =>
            {
                Form::Machine
            }
            Ok(_) => Form::Human,
            Err(error) => match failure(error) {
                Failure::Refused(_) => Form::Human,
                broken => return Err(broken),
            },
        };
        let home = match stream.pwd().await {
            Ok(home) => bytes(&home),
            Err(error) => match failure(error) {
                Failure::Refused(_) => b"/".to_vec(),
                broken => return Err(broken),
            },
        };
        Ok(Self { stream, form, passive: Passive::Unsure, home, timeout: door.timeout, bytes: door.bytes })
    }

    /// The form of its listings.
    pub(super) const fn form(&self) -> Form {
        self.form
    }

    /// The listing of a directory below the home directory, as it comes.
    ///
    /// # Errors
    /// When it did not come whole.
    pub(super) async fn list(&mut self, path: &[u8]) -> Result<Vec<u8>, Failure> {
        tokio::time::timeout(self.timeout, self.list_within(path)).await.unwrap_or(Err(Failure::Timeout))
    }

    async fn list_within(&mut self, path: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut directory = self.home.clone();
        if !path.is_empty() {
            if directory.last() != Some(&b'/') {
                directory.push(b'/');
            }
            directory.extend_from_slice(path);
        }
        // Into it first: what follows LIST is taken for options, patterns or several names by some servers.
        self.stream.cwd(encoded(&directory)).await.map_err(failure)?;
        match self.transfer().await {
            Err(Failure::Refused(why)) if self.form == Form::Machine && is_unknown_command(&why) => {
                self.form = Form::Human;
                self.transfer().await
            }
            done => done,
        }
    }

    async fn transfer(&mut self) -> Result<Vec<u8>, Failure> {
        let command = if self.form == Form::Machine { "MLSD" } else { "LIST" };
        let begins = [Status::AboutToSend, Status::AlreadyOpen];
        let mut data = match self.stream.custom_data_command(command, &begins).await {
            Ok((_, data)) => data,
            // A server, or something between, that knows no EPSV, or does not allow it.
            Err(FtpError::UnexpectedResponse(_)) if self.passive == Passive::Unsure => {
                self.stream.set_mode(Mode::Passive);
                self.stream.custom_data_command(command, &begins).await.map_err(failure)?.1
            }
            Err(error) => return Err(failure(error)),
        };
        self.passive = Passive::Sure;
        let mut listing = Vec::new();
        let broken = |error: io::Error| Failure::Broken(error.to_string());
        while data.read_buf(&mut listing).await.map_err(broken)? > 0 {
            if listing.len() > self.bytes {
                return Err(Failure::TooLarge(self.bytes));
            }
        }
        // Only the server's last word says that this was all.
        data.finish().await.map_err(|error| match failure(error) {
            Failure::Refused(why) => Failure::Broken(why),
            other => other,
        })?;
        Ok(listing)
    }

    /// Says good-bye; what the server says to that is of no interest.
    pub(super) async fn close(mut self) {
        const FAREWELL: Duration = Duration::from_secs(2);
        drop(tokio::time::timeout(FAREWELL, self.stream.quit()).await);
    }
}

/// 500, 501, 502, 504, 522: syntax, not implemented (RFC 959 section 4.2), network protocol not supported (RFC 2428).
fn is_unknown_command(answer: &str) -> bool {
    ["500", "501", "502", "504", "522"].iter().any(|code| answer.trim_start().starts_with(code))
}

fn connector() -> Result<AsyncRustlsConnector, Failure> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let config = ClientConfig::with_platform_verifier().map_err(|error| Failure::Connect(error.to_string()))?;
    Ok(TlsConnector::from(Arc::new(config)).into())
}

/// What the library's error means.
fn failure(error: FtpError) -> Failure {
    match error {
        FtpError::UnexpectedResponse(response) if response.status == Status::NotAvailable => {
            Failure::Broken(text(&response.body))
        }
        FtpError::UnexpectedResponse(response) => Failure::Refused(text(&response.body)),
        FtpError::SecureError(why) => Failure::Connect(why),
        FtpError::ConnectionError(error) => Failure::Broken(error.to_string()),
        other => Failure::Broken(other.to_string()),
    }
}

/// A server's word for people: one line, and bounded.
fn text(body: &[u8]) -> String {
    let shown = String::from_utf8_lossy(body);
    shown.trim().chars().take(MAX_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Bytes in the library's hands.
fn encoded(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Bytes out of the library's hands.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().filter_map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

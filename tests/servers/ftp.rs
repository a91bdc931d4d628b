//! An FTP server that does what a test wants: it knows MLSD, which vsftpd does not, and misbehaves where it is told to.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What is done about a command.
pub enum Deed {
    /// What any server does: `MLSD` and `LIST` are answered with nothing.
    Usual,
    /// A line is sent over the control connection.
    Say(&'static str),
    /// Bytes are sent over the data connection, and then the last word about them.
    Send(Vec<u8>, &'static str),
    /// Nothing happens any more.
    Hang,
    /// The connection ends.
    HangUp,
}

/// What is done about a command in a directory.
pub type Talk = dyn Fn(&str, &str) -> Deed + Send + Sync;

/// The server.
pub struct Ftp {
    address: SocketAddr,
    talk: Arc<Mutex<Arc<Talk>>>,
    stopped: Arc<AtomicBool>,
}

/// The usual last word.
pub const DONE: &str = "226 Done";

impl Ftp {
    pub fn start(talk: impl Fn(&str, &str) -> Deed + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound");
        let stopped = Arc::new(AtomicBool::new(false));
        let talk: Arc<Mutex<Arc<Talk>>> = Arc::new(Mutex::new(Arc::new(talk)));
        let (is_stopped, current) = (Arc::clone(&stopped), Arc::clone(&talk));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let talk = Arc::clone(&current.lock().expect("no test panics with it"));
                std::thread::spawn(move || converse(stream, &*talk).ok());
            }
        });
        Self { address, talk, stopped }
    }

    pub fn url(&self) -> String {
        format!("ftp://{}/", self.address)
    }

    /// Changes its ways.
    pub fn turn_into(&self, talk: impl Fn(&str, &str) -> Deed + Send + Sync + 'static) {
        *self.talk.lock().expect("no test panics with it") = Arc::new(talk);
    }
}

impl Drop for Ftp {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
    }
}

fn converse(mut control: TcpStream, talk: &Talk) -> io::Result<()> {
    control.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(control.try_clone()?);
    let mut directory = "/".to_owned();
    let mut data = None;
    control.write_all(b"220-A server\r\n220 of our own\r\n")?;
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let mut say = |text: &str| control.write_all(format!("{text}\r\n").as_bytes());
        match talk(&line, &directory) {
            Deed::Say(text) => say(text)?,
            Deed::Hang => drop(io::copy(&mut reader, &mut io::sink())?),
            Deed::HangUp => return Ok(()),
            Deed::Send(bytes, last) => {
                let listener: TcpListener = data.take().ok_or(io::ErrorKind::NotConnected)?;
                say("150 Here it comes")?;
                let (mut stream, _) = listener.accept()?;
                let sent = stream.write_all(&bytes);
                drop(stream);
                sent.and_then(|()| say(last))?;
            }
            Deed::Usual => match line.split(' ').next().unwrap_or_default() {
                "USER" => say("331 And the password?")?,
                "PASS" => say("230 Welcome")?,
                "FEAT" => say("211-Features:\r\n MLST type*;size*;modify*;\r\n UTF8\r\n211 End")?,
                "PWD" => say("257 \"/\" it is")?,
                "CWD" => {
                    directory = line[4..].to_owned();
                    say("250 There")?;
                }
                "EPSV" => {
                    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                    say(&format!("229 Passive (|||{}|)", listener.local_addr()?.port()))?;
                    data = Some(listener);
                }
                "QUIT" => return say("221 Bye"),
                _ => say("200 Fine")?,
            },
        }
    }
}

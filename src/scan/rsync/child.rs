//! The `rsync` program as a child: started without a shell, in a clean environment and a process group of its own, read line by line
//! within limits, and ended with everything that it started when nobody waits for it any more.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use memchr::memchr;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use super::super::secret::Secret;

/// What is asked.
pub(super) struct Order<'a> {
    /// The program.
    pub(super) program: &'a Path,
    /// The URL, with an address that was checked.
    pub(super) url: OsString,
    /// The password, if one is needed.
    pub(super) password: Option<&'a Secret>,
    /// How long the server may be silent.
    pub(super) silence: Duration,
    /// When it has to have ended.
    pub(super) deadline: Instant,
    /// How many bytes it may say.
    pub(super) bytes: u64,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Why.
    pub(super) how: How,
    /// What it said about that, for people: bounded, and without control characters.
    pub(super) complaint: String,
    /// The bytes that it printed.
    pub(super) bytes: u64,
}

/// Why it ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum How {
    /// By itself, with a code (rsync(1), "EXIT VALUES"), or by a signal.
    Exit(Option<i32>),
    /// It was ended: it took too long.
    TooLong,
    /// It was ended: it said too much.
    TooMuch,
    /// It was ended: a line was longer than any entry.
    LongLine,
    /// It was ended by who reads the lines.
    Enough,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Go {
    /// Go on.
    On,
    /// That is enough.
    Enough,
}

/// The longest line that is read: a path of 4,096 bytes, each escaped by five, and what stands before it.
const MAX_LINE_BYTES: usize = 24 * 1024;
/// How much of its complaints is kept: a few lines for people.
const MAX_COMPLAINT_BYTES: usize = 1500;
/// Memory that the program may take, in bytes: ten million entries take about one GiB.
const MAX_MEMORY: u64 = 4 << 30;
/// How long connecting may take: as for HTTP, a few round trips with loss.
const CONNECT_SECONDS: u32 = 15;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 128 * 1024;
/// Room between the program and us: the most that everybody may have (`/proc/sys/fs/pipe-max-size`).
const PIPE_BYTES: usize = 1 << 20;
/// The program writes each line by itself, and to be woken for each costs more than to read it. So many lines are waited for between
/// two reads as come in this time: it is much shorter than any run, and fills a part of the pipe only.
const PAUSE: Duration = Duration::from_millis(10);
/// When this much came at once, more waits already: half of the smallest pipe.
const PLENTY_BYTES: usize = 32 * 1024;

/// Lines that are given away at once: enough for the waits of some to fall together.
const LINES: usize = 64;

/// Runs it, and gives its lines to `take`, some at a time.
///
/// # Errors
/// When it can't be started, or its output can't be read.
pub(super) async fn run(order: &Order<'_>, take: &mut (dyn FnMut(&[&[u8]]) -> Go + Send)) -> std::io::Result<Ended> {
    let mut child = Guard(command(order).spawn()?);
    child.limit_memory();
    let (Some(stdout), Some(stderr)) = (child.0.stdout.take(), child.0.stderr.take()) else {
        return Err(std::io::Error::other("it has no output"));
    };
    // With less room it waits for us more often.
    rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_BYTES).ok();
    let mut complaint = Vec::new();
    let mut lines = Lines { bytes: 0, most: order.bytes, take };
    let both = async {
        let (how, complained) = tokio::join!(lines.read(stdout.into_owned_fd()?), keep(stderr, &mut complaint, order.bytes));
        complained?;
        how
    };
    let how = match tokio::time::timeout_at(order.deadline.into(), both).await {
        Err(_) => How::TooLong,
        Ok(Err(error)) => return Err(error),
        Ok(Ok(Some(how))) => how,
        // It has closed its output: the rest is a matter of moments.
        Ok(Ok(None)) => match tokio::time::timeout_at(order.deadline.into(), child.0.wait()).await {
            Ok(status) => How::Exit(ExitStatus::code(&status?)),
            Err(_) => How::TooLong,
        },
    };
    Ok(Ended { how, complaint: legible(&complaint), bytes: lines.bytes })
}

fn command(order: &Order<'_>) -> Command {
    let mut command = Command::new(order.program);
    command
        .args(["--list-only", "--recursive", "--8-bit-output", "--no-motd"])
        .arg(format!("--contimeout={CONNECT_SECONDS}"))
        .arg(format!("--timeout={}", order.silence.as_secs().max(1)))
        // Whatever comes now is no option.
        .arg("--")
        .arg(&order.url)
        .env_clear()
        // Times in UTC, numbers and messages as everywhere.
        .envs([("TZ", "UTC0"), ("LC_ALL", "C")])
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    // Without one, it must not ask on a terminal: a wrong one is refused by the server.
    let password = order.password.map_or(OsStr::new(""), |password| OsStr::new(password.reveal()));
    command.env("RSYNC_PASSWORD", password);
    command
}

/// The child with its group: it divides itself into several processes, and all of them end with this.
struct Guard(Child);

impl Guard {
    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.0.id()?).ok().and_then(Pid::from_raw)
    }

    fn limit_memory(&self) {
        let limit = Rlimit { current: Some(MAX_MEMORY), maximum: Some(MAX_MEMORY) };
        if let Err(error) = prlimit(self.pid(), Resource::As, limit) {
            tracing::debug!(%error, "can't limit the memory of rsync");
        }
    }
}

impl Drop for Guard {
    /// While the child was not waited for, its number is no other's.
    fn drop(&mut self) {
        if let Some(group) = self.pid() {
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

/// Cuts output into lines.
struct Lines<'a> {
    bytes: u64,
    most: u64,
    take: &'a mut (dyn FnMut(&[&[u8]]) -> Go + Send),
}

impl Lines<'_> {
    /// Reads to the end, or until something is too much. What is no whole line at the end is none.
    async fn read(&mut self, from: OwnedFd) -> std::io::Result<Option<How>> {
        // From here on, reading it does not block.
        let mut from = readable(from).await?;
        let mut kept = Vec::with_capacity(CHUNK_BYTES + MAX_LINE_BYTES);
        loop {
            kept.reserve(CHUNK_BYTES);
            let count = match rustix::io::read(&from, spare_capacity(&mut kept)) {
                Ok(0) => return Ok(None),
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    from = readable(from).await?;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(errno) => return Err(errno.into()),
            };
            if let Some(how) = self.cut(&mut kept, count) {
                return Ok(Some(how));
            }
            if count < PLENTY_BYTES {
                tokio::time::sleep(PAUSE).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Gives away the whole lines of what was read, of which the last `count` bytes are new.
    fn cut(&mut self, kept: &mut Vec<u8>, count: usize) -> Option<How> {
        self.bytes += count as u64;
        if self.bytes > self.most {
            return Some(How::TooMuch);
        }
        let (mut begin, mut lines) = (0, Vec::with_capacity(LINES));
        loop {
            let next = memchr(b'\n', &kept[begin..]);
            if let Some(length) = next {
                lines.extend((length <= MAX_LINE_BYTES).then(|| &kept[begin..begin + length]));
                begin += length + 1;
            }
            if (next.is_none() || lines.len() == LINES) && (self.take)(&lines) == Go::Enough {
                return Some(How::Enough);
            }
            match next {
                None => break,
                Some(_) if lines.len() == LINES => lines.clear(),
                Some(_) => {}
            }
        }
        kept.drain(..begin);
        (kept.len() > MAX_LINE_BYTES).then_some(How::LongLine)
    }
}

/// Waits until there is something to read. Only while it is waited for, so that not every line that comes wakes us.
async fn readable(from: OwnedFd) -> std::io::Result<OwnedFd> {
    let watched = pipe::Receiver::from_owned_fd(from)?;
    watched.readable().await?;
    watched.into_nonblocking_fd()
}

/// Keeps the beginning of a stream, and reads all of it, but for what is more than any program has to complain about.
async fn keep(mut from: impl AsyncRead + Unpin, kept: &mut Vec<u8>, most: u64) -> std::io::Result<()> {
    let mut chunk = [0; 4096];
    let mut total = 0;
    loop {
        let count = from.read(&mut chunk).await?;
        total += count as u64;
        if count == 0 || total > most {
            return Ok(());
        }
        let room = MAX_COMPLAINT_BYTES.saturating_sub(kept.len());
        kept.extend_from_slice(&chunk[..count.min(room)]);
    }
}

/// One line for people: what a server said stands in it, too. What the program says last of itself, the code at its end says as well.
fn legible(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let mut lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.len() > 1 && lines.last().is_some_and(|last| last.starts_with("rsync error: ")) {
        lines.pop();
    }
    let joined = lines.join("; ");
    joined.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cuts a text that comes in pieces of this many bytes.
    fn cut(text: &[u8], piece: usize, most: u64) -> (Option<How>, Vec<String>) {
        let mut lines = Vec::new();
        let mut take = |some: &[&[u8]]| {
            lines.extend(some.iter().map(|line| String::from_utf8_lossy(line).into_owned()));
            if some.contains(&b"stop".as_slice()) { Go::Enough } else { Go::On }
        };
        let mut cutter = Lines { bytes: 0, most, take: &mut take };
        let mut kept = Vec::new();
        let how = text.chunks(piece).find_map(|piece| {
            kept.extend_from_slice(piece);
            cutter.cut(&mut kept, piece.len())
        });
        (how, lines)
    }

    #[test]
    fn output_is_cut_into_whole_lines_within_limits() {
        for piece in [1, 2, 3, 1000] {
            assert_eq!(cut(b"a\nb b\n\nrest", piece, 100), (None, vec!["a".into(), "b b".into(), String::new()]), "{piece}");
            let (how, lines) = cut(b"a\nstop\nb\n", piece, 100);
            assert_eq!((how, &lines[..2]), (Some(How::Enough), &["a".to_owned(), "stop".to_owned()][..]), "{piece}");
            let many: Vec<String> = (0..3 * LINES + 1).map(|number| number.to_string()).collect();
            assert_eq!(cut((many.join("\n") + "\n").as_bytes(), piece, 10_000), (None, many), "{piece}");
        }
        assert_eq!(cut(b"a\nb\n", 1000, 3), (Some(How::TooMuch), Vec::new()));
        let long = vec![b'x'; MAX_LINE_BYTES + 1];
        assert_eq!(cut(&long, 1000, 1 << 20), (Some(How::LongLine), Vec::new()));
    }

    #[test]
    fn complaints_are_one_line_that_orders_nothing() {
        assert_eq!(legible(b"@ERROR: \x1b[2J no\n\n rsync error: x\n"), "@ERROR:  [2J no");
        assert_eq!(legible(b"rsync error: timeout in data\n"), "rsync error: timeout in data");
        assert_eq!(legible(b"rsync: one\nrsync: two\n"), "rsync: one; rsync: two");
    }
}

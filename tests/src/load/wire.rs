//! One kept-alive HTTP/1.1 connection, one request at a time.
//!
//! A full client would take a good part of the cores that the daemon needs, and hide behind its pool how many connections
//! there are. Speaks to the daemon alone: no chunks, no redirects, no TLS.

use anyhow::Context;
use medic_demo::{Person, Stage};
use std::time::Duration;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// Longer than the daemon keeps a caller waiting (10 s).
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Bytes of an answer's body. 16 MiB: the daemon's longest lists are a tenth of it.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Whom to ask, and as whom.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Host and port.
    authority: String,
    token: String,
}

impl Caller {
    pub fn of(stage: &Stage, person: Person) -> Self {
        let authority = stage.url().trim_start_matches("http://").to_owned();
        Self { authority, token: stage.token(person).to_owned() }
    }

    /// # Errors
    /// When nobody listens.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(&self.authority).await.context("cannot reach the daemon")?;
        // A request is one write: nothing is gained by waiting for more.
        stream.set_nodelay(true).context("cannot set up the connection")?;
        Ok(Connection { stream: BufReader::new(stream) })
    }

    pub fn get(&self, path: &str) -> Vec<u8> {
        self.request("GET", path, "")
    }

    pub fn post(&self, path: &str, body: &str) -> Vec<u8> {
        self.request("POST", path, body)
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let Self { authority, token } = self;
        let length = body.len();
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// `Retry-After` in seconds, where it is said.
    pub retry_after_s: Option<u64>,
    pub body: Vec<u8>,
}

impl Answer {
    /// For an account of what went wrong.
    pub fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}

pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Sends a whole request and reads the whole answer.
    ///
    /// # Errors
    /// When the daemon hangs up, takes too long, or answers in a form that is not understood here. The connection is of no
    /// use after that.
    pub async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        let answered = async {
            self.stream.write_all(request).await.context("cannot send")?;
            self.answer().await
        };
        tokio::time::timeout(ANSWER_MAX, answered)
            .await
            .with_context(|| format!("no answer within {ANSWER_MAX:?}"))?
    }

    async fn answer(&mut self) -> anyhow::Result<Answer> {
        let mut line = String::new();
        self.line(&mut line).await?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.with_context(|| format!("this is no HTTP: {line:?}"))?;
        let (mut length, mut retry_after_s) = (None, None);
        loop {
            self.line(&mut line).await?;
            match line.split_once(':') {
                None if line.is_empty() => break,
                None => anyhow::bail!("this is no header: {line:?}"),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = Some(value.trim().parse::<usize>().context("cannot read the length")?);
                }
                Some((name, value)) if name.eq_ignore_ascii_case("retry-after") => {
                    retry_after_s = Some(value.trim().parse().context("cannot read when to retry")?);
                }
                Some(_) => {}
            }
        }
        let length = length.context("the answer does not say how long it is")?;
        anyhow::ensure!(length <= BODY_BYTES_MAX, "an answer of {length} bytes");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.context("the answer broke off")?;
        Ok(Answer { status, retry_after_s, body })
    }

    async fn line(&mut self, line: &mut String) -> anyhow::Result<()> {
        line.clear();
        let read = self.stream.read_line(line).await.context("cannot read the answer")?;
        anyhow::ensure!(read > 0, "the daemon hung up");
        line.truncate(line.trim_end().len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A server that reads one request and says `answers`, one after the other.
    async fn says(answers: &'static [&'static str]) -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.unwrap();
                assert!(
                    String::from_utf8_lossy(&request[..read]).starts_with("GET /x HTTP/1.1\r\nhost: 127")
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Caller { authority, token: String::new() }.connect().await.unwrap()
    }

    fn request() -> Vec<u8> {
        Caller { authority: "127.0.0.1".to_owned(), token: "t".to_owned() }.get("/x")
    }

    #[tokio::test]
    async fn answers_on_one_connection_are_told_apart_by_their_length() {
        let mut connection = says(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 503 No\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n",
        ])
        .await;
        let fine = Answer { status: 200, retry_after_s: None, body: b"ok".to_vec() };
        assert_eq!(connection.ask(&request()).await.unwrap(), fine);
        let later = Answer { status: 503, retry_after_s: Some(7), body: Vec::new() };
        assert_eq!(connection.ask(&request()).await.unwrap(), later);
    }

    #[tokio::test]
    async fn an_answer_of_unknown_length_is_an_error_and_no_guess() {
        let mut connection =
            says(&["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"]).await;
        assert!(connection.ask(&request()).await.unwrap_err().to_string().contains("how long"));
        let mut connection = says(&["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"]).await;
        assert!(connection.ask(&request()).await.is_err(), "the server hangs up within the body");
    }
}

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const LONGEST_LINE: u64 = 64 * 1024;

/// Answers each line with `<name>: <line>` until the peer closes or sends a line that is too long.
pub(crate) async fn lines(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
        let Some(text) = line.strip_suffix(b"\n") else { return Ok(()) };
        let answer = [name.as_bytes(), b": ", text.strip_suffix(b"\r").unwrap_or(text), b"\n"].concat();
        writer.write_all(&answer).await?;
    }
}

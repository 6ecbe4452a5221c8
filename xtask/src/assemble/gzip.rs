//! Gzip with bytes that depend on the input alone, on several processors.
//!
//! The input is cut into blocks of a fixed size; each is compressed by itself, with the 32 KiB
//! before it as dictionary, and the results are joined: one ordinary gzip member, as `pigz` makes
//! it. Neither the number of processors nor the sizes of the writes show in the result.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use zlib_rs::{Deflate, DeflateFlush, Status};

/// Names the bytes that this module makes for an input. Change it whenever they change (a test
/// holds a digest), so that layers remembered from before are compressed anew.
pub(crate) const COMPRESSOR: &str = "zlib-rs 0.6 level 6 blocks 256K";

// zlib-rs computes the same matches on every processor (its vector code only compares and
// copies), unlike zlib-ng, whose hash depends on the instruction set. It is called directly:
// `flate2` takes whichever backend any crate of the build asks for, and with it other bytes.
// A stripped 4.4 MB Rust executable on 2 cores: level 6 takes 40 ms for 1.80 MB, level 7 60 ms
// for 1.78 MB, level 9 110 ms for 1.73 MB; miniz_oxide's 6 takes 228 ms for 1.74 MB. Every edit
// waits for this, while 70 KB more cross a slow line in less time than level 9 adds.
const LEVEL: i32 = 6;
const BLOCK: usize = 256 * 1024;
/// Deflate's window: how far back a match may reach.
const WINDOW: usize = 32 * 1024;
/// More threads than this would only hold more memory (about 1 MiB each).
const MAX_THREADS: usize = 8;

/// ID, deflate, no flags, no time, neither best nor fastest, unknown system (RFC 1952, 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Compresses what is written to it into `out`. Nothing is complete before
/// [`GzipWriter::finish`].
pub(crate) struct GzipWriter<W: Write> {
    out: W,
    block: Vec<u8>,
    dictionary: Vec<u8>,
    crc: u32,
    length: u32,
    workers: Option<Workers>,
}

impl<W: Write> GzipWriter<W> {
    /// Begins a gzip file in `out`.
    pub(crate) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        Ok(GzipWriter {
            out,
            block: Vec::new(),
            dictionary: Vec::new(),
            crc: 0,
            length: 0,
            workers: None,
        })
    }

    /// Compresses the rest, writes the trailer and gives `out` back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let last = Job {
            dictionary: std::mem::take(&mut self.dictionary),
            block: std::mem::take(&mut self.block),
            last: true,
        };
        match self.workers.take() {
            Some(mut workers) => {
                workers.submit(last, &mut self.out)?;
                workers.drain(&mut self.out)?;
            }
            // One block: starting threads would take longer than compressing it.
            None => self.out.write_all(&last.compress()?)?,
        }
        self.out.write_all(&self.crc.to_le_bytes())?;
        self.out.write_all(&self.length.to_le_bytes())?;
        Ok(self.out)
    }

    fn submit_full_block(&mut self) -> io::Result<()> {
        let block = std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK));
        let next_dictionary = block[BLOCK - WINDOW..].to_vec();
        let dictionary = std::mem::replace(&mut self.dictionary, next_dictionary);
        let workers = self.workers.get_or_insert_with(Workers::start);
        workers.submit(Job { dictionary, block, last: false }, &mut self.out)
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A full block is only handed on when more follows, since the last one ends the stream.
        if self.block.len() == BLOCK && !bytes.is_empty() {
            self.submit_full_block()?;
        }
        let taken = bytes.len().min(BLOCK - self.block.len());
        let bytes = &bytes[..taken];
        self.crc = zlib_rs::crc32::crc32(self.crc, bytes);
        // The trailer holds the length modulo 2^32.
        self.length = self.length.wrapping_add(taken as u32);
        self.block.extend_from_slice(bytes);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A block to compress.
struct Job {
    dictionary: Vec<u8>,
    block: Vec<u8>,
    last: bool,
}

impl Job {
    fn compress(&self) -> io::Result<Vec<u8>> {
        let failed = |what: &str| io::Error::other(format!("cannot compress: {what}"));
        let mut deflate = Deflate::new(LEVEL, false, 15);
        if !self.dictionary.is_empty() {
            deflate.set_dictionary(&self.dictionary).map_err(|error| failed(error.as_str()))?;
        }
        // A sync flush ends on a byte, so that the blocks' results can be joined.
        let flush = if self.last { DeflateFlush::Finish } else { DeflateFlush::SyncFlush };
        // Deflate's worst case, stored blocks, adds less than this; so one call does it all.
        let mut out = vec![0; self.block.len() + self.block.len() / 1000 + 1024];
        let status = deflate
            .compress(&self.block, &mut out, flush)
            .map_err(|error| failed(error.as_str()))?;
        let done = if self.last { status == Status::StreamEnd } else { status == Status::Ok };
        if !done || deflate.total_in() != self.block.len() as u64 {
            return Err(failed("the result is larger than expected"));
        }
        out.truncate(deflate.total_out() as usize);
        Ok(out)
    }
}

type Outcome = io::Result<Vec<u8>>;

/// Threads that compress blocks; they end when this is dropped.
struct Workers {
    jobs: SyncSender<(Job, SyncSender<Outcome>)>,
    /// The results to come, in the blocks' order.
    pending: VecDeque<Receiver<Outcome>>,
    limit: usize,
}

impl Workers {
    fn start() -> Self {
        let threads = thread::available_parallelism().map_or(1, |n| n.get().min(MAX_THREADS));
        let (jobs, queue) = sync_channel::<(Job, SyncSender<Outcome>)>(threads);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            thread::spawn(move || {
                loop {
                    let next = queue.lock().map(|queue| queue.recv());
                    let Ok(Ok((job, reply))) = next else { return };
                    // Nobody listens any more after a failed write: then there is nothing to do.
                    let _ = reply.send(job.compress());
                }
            });
        }
        Workers { jobs, pending: VecDeque::new(), limit: 2 * threads }
    }

    /// Queues `job`; writes the oldest result first when enough are under way, which bounds the
    /// memory.
    fn submit(&mut self, job: Job, out: &mut impl Write) -> io::Result<()> {
        if self.pending.len() >= self.limit {
            self.write_oldest(out)?;
        }
        let (reply, result) = sync_channel(1);
        self.jobs
            .send((job, reply))
            .map_err(|_| io::Error::other("the compressing threads are gone"))?;
        self.pending.push_back(result);
        Ok(())
    }

    fn drain(&mut self, out: &mut impl Write) -> io::Result<()> {
        while !self.pending.is_empty() {
            self.write_oldest(out)?;
        }
        Ok(())
    }

    fn write_oldest(&mut self, out: &mut impl Write) -> io::Result<()> {
        let Some(result) = self.pending.pop_front() else { return Ok(()) };
        let bytes =
            result.recv().map_err(|_| io::Error::other("a compressing thread is gone"))??;
        out.write_all(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::image::reference::Digest;

    /// Bytes like a program's: neither all equal nor all different.
    fn sample(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        (0..length)
            .map(|at| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if at % 3 == 0 { (at >> 6) as u8 } else { (state >> 28) as u8 }
            })
            .collect()
    }

    fn compress(input: &[u8], step: usize) -> Vec<u8> {
        let mut writer = GzipWriter::new(Vec::new()).unwrap();
        for part in input.chunks(step.max(1)) {
            writer.write_all(part).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn every_length_comes_back() {
        for length in [0, 1, 1000, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 77] {
            let input = sample(length);
            let packed = compress(&input, 10_000);
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == input, "{length}");
        }
    }

    #[test]
    fn incompressible_input_fits() {
        let mut state = 7_u64;
        let input: Vec<u8> = (0..2 * BLOCK)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        assert!(compress(&input, BLOCK).len() < input.len() + 4096);
    }

    #[test]
    fn the_sizes_of_writes_do_not_show() {
        let input = sample(BLOCK * 2 + 5);
        assert!(compress(&input, 777) == compress(&input, usize::MAX));
    }

    /// When this fails, the compressor makes other bytes than before: take the new digest and
    /// change [`COMPRESSOR`].
    #[test]
    fn bytes_are_the_known_ones() {
        let digest = Digest::of(&compress(&sample(BLOCK + 100_000), 65_536));
        assert_eq!(digest.hex(), "a31a5fce1acf81e0440414eafca38be91fc9fe2bc72912f0900df2ff103e3de7", "of {COMPRESSOR}");
    }
}

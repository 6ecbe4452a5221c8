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

use flate2::Crc;
use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress, create_comp_flags_from_zip_params,
};

/// Names the bytes that this module makes for an input. Change it whenever they change (a test
/// holds a digest), so that layers remembered from before are compressed anew.
pub(crate) const COMPRESSOR: &str = "miniz_oxide 0.9.1 level 5 blocks 256K";

// miniz_oxide is called directly: `flate2` takes whichever backend any crate of the build asks
// for, and with it other bytes. Its compressor is scalar code, the same on every processor
// (zlib-ng's hash, for one, depends on the instruction set). A stripped 4.4 MB Rust executable on
// 2 cores: level 4 takes 56 ms for 1.78 MB, level 5 70 ms for 1.76 MB, level 6 127 ms for 1.74 MB;
// zlib-rs' 6 takes 40 ms for 1.80 MB, and seven seconds of every user's first compile.
const LEVEL: i32 = 5;
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
    crc: Crc,
    workers: Option<Workers>,
}

impl<W: Write> GzipWriter<W> {
    /// Begins a gzip file in `out`.
    pub(crate) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&HEADER)?;
        Ok(GzipWriter { out, block: Vec::new(), dictionary: Vec::new(), crc: Crc::new(), workers: None })
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
        self.out.write_all(&self.crc.sum().to_le_bytes())?;
        self.out.write_all(&self.crc.amount().to_le_bytes())?;
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
        self.crc.update(bytes);
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
        // Raw deflate, its usual strategy.
        let flags = create_comp_flags_from_zip_params(LEVEL, -15, 0);
        let mut deflate = CompressorOxide::new(flags);
        // Deflate's worst case, stored blocks, adds less than this; so one call does it all.
        let mut out = vec![0; self.block.len() + self.block.len() / 100 + 2 * WINDOW];
        let mut written = 0;
        // A sync flush ends on a byte, so that results can be joined. That of the dictionary is
        // dropped: the block before has it already.
        let end = if self.last { TDEFLFlush::Finish } else { TDEFLFlush::Sync };
        for (input, flush) in [(&self.dictionary, TDEFLFlush::Sync), (&self.block, end)] {
            if input.is_empty() && flush == TDEFLFlush::Sync {
                continue;
            }
            let done = if flush == TDEFLFlush::Finish { TDEFLStatus::Done } else { TDEFLStatus::Okay };
            let (status, taken, made) = compress(&mut deflate, input, &mut out, flush);
            if status != done || taken != input.len() || made == out.len() {
                return Err(io::Error::other("cannot compress: the result is larger than expected"));
            }
            written = made;
        }
        out.truncate(written);
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
        self.jobs.send((job, reply)).map_err(|_| io::Error::other("the compressing threads are gone"))?;
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
        let bytes = result.recv().map_err(|_| io::Error::other("a compressing thread is gone"))??;
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
        assert_eq!(digest.hex(), "a727f3904ddd4f0cd03d07f917b225384112aca5526d57b9e44cc2313933ed31", "of {COMPRESSOR}");
    }

    /// The folder is used without our lock file: the version has to be in its own manifest.
    #[test]
    fn the_compressor_is_one_exact_version() {
        let version = COMPRESSOR.split(' ').nth(1).unwrap();
        let manifest: toml::Table = toml::from_str(include_str!("../../Cargo.toml")).unwrap();
        let wanted = manifest["dependencies"]["miniz_oxide"]["version"].as_str().unwrap();
        assert_eq!(wanted, format!("={version}"));
    }
}

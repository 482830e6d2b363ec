//! The limits: what others do who do no more than one thing.

use crate::{Line, timed};
use arrow::array::RecordBatch;
use intake::properties;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;

/// Finding lines and fields.
pub(super) fn parse(text: &str, lines: &mut Vec<Line>) {
    timed("limit: the ends of the lines (memchr)", lines, || memchr::memchr_iter(b'\n', text.as_bytes()).count());
    timed("limit: JSON of each line to a tree (sonic-rs)", lines, || {
        text.lines().filter(|line| sonic_rs::from_str::<sonic_rs::Value>(line).is_ok()).count()
    });
    timed("limit: JSON of each line to a tape (simd-json)", lines, || {
        let mut buffers = simd_json::Buffers::default();
        let mut line_bytes = Vec::new();
        text.lines()
            .filter(|line| {
                line_bytes.clear();
                line_bytes.extend_from_slice(line.as_bytes());
                simd_json::to_tape_with_buffers(&mut line_bytes, &mut buffers).is_ok()
            })
            .count()
    });
}

/// Encoding and compressing what the stages have written.
pub(super) fn write(files: &[Vec<u8>], lines: &mut Vec<Line>) {
    let batches: Vec<Vec<RecordBatch>> = files.iter().map(|file| read(file.clone())).collect();
    let plain = timed("limit: Parquet of ready columns, not compressed", lines, || {
        batches.iter().map(|batches| encode(batches)).collect::<Vec<_>>()
    });
    timed("limit: zstd of those files, nothing else", lines, || {
        let mut compressor = zstd::bulk::Compressor::new(1).expect("1 is a level of zstd");
        let pages = plain.iter().flat_map(|file| file.chunks(1 << 20));
        pages.map(|page| compressor.compress(page).map_or(0, |packed| packed.len())).sum::<usize>()
    });
}

fn read(file: Vec<u8>) -> Vec<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(file)).expect("a file just written");
    let reader = builder.with_batch_size(8192).build().expect("a file just written");
    reader.collect::<Result<_, _>>().expect("a file just written")
}

fn encode(batches: &[RecordBatch]) -> Vec<u8> {
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    let properties = (*properties(rows)).clone().into_builder();
    let properties = properties.set_compression(Compression::UNCOMPRESSED).build();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(properties)).expect("a schema just read");
    batches.iter().for_each(|batch| writer.write(batch).expect("columns just read"));
    writer.into_inner().expect("columns just read")
}

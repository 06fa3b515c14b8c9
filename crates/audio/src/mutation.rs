//! Mutated audio files of every format from a seed, the same on every machine.

/// Unmutated files.
const FILES: [&[u8]; 8] = [
    include_bytes!("../../../tests/data/tone.ogg"),
    include_bytes!("../../../tests/data/tone.opus"),
    include_bytes!("../../../tests/data/tone.mp3"),
    include_bytes!("../../../tests/data/comments.ogg"),
    include_bytes!("../../../tests/data/tone.aiff"),
    include_bytes!("../../../tests/data/tone.au"),
    include_bytes!("../../../tests/data/tone.gsm"),
    include_bytes!("../../../tests/data/tone_gsm.wav"),
];

/// Random numbers from a seed (SplitMix64).
struct RandomNumbers(u64);

impl RandomNumbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Returns the file of a seed. Most mutations are near the beginning, in the headers, and Ogg pages get valid
/// checksums; otherwise no mutation would pass the container.
pub(super) fn file(seed: u64) -> Vec<u8> {
    let mut numbers = RandomNumbers(seed);
    let which = numbers.below(FILES.len() + 2);
    let mut file = match FILES.get(which) {
        Some(file) => file.to_vec(),
        None => wav(&mut numbers),
    };
    for _ in 0..1 + numbers.below(8) {
        mutate(&mut file, &mut numbers);
    }
    if file.starts_with(b"OggS") && numbers.below(8) > 0 {
        seal(&mut file);
    }
    file
}

/// Changes bits, bytes or numbers, or removes, repeats or inserts a piece.
fn mutate(file: &mut Vec<u8>, numbers: &mut RandomNumbers) {
    const EDGES: [u32; 8] = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff];
    let reach = [64, 300, 4500, file.len()][numbers.below(4)].min(file.len());
    let at = numbers.below(reach);
    let length = [1, 4, 16, 200][numbers.below(4)].min(file.len() - at);
    let Some(first) = file.get_mut(at) else { return };
    match numbers.below(8) {
        0..3 => *first ^= 1 << numbers.below(8),
        3 => *first = numbers.next() as u8,
        4 => {
            let edge = EDGES[numbers.below(EDGES.len())].to_le_bytes();
            file[at..].iter_mut().zip(&edge[..1 + numbers.below(4)]).for_each(|(to, from)| *to = *from);
        }
        5 => _ = file.drain(at..at + length),
        6 => {
            let piece = file[at..at + length].to_vec();
            file.splice(at..at, piece);
        }
        _ => file.truncate(at.max(numbers.below(file.len()))),
    }
}

/// Builds a short WAV file with a random format.
fn wav(numbers: &mut RandomNumbers) -> Vec<u8> {
    let tag = [1_u16, 3, 6, 7, 0xfffe][numbers.below(5)];
    let bits = [8_u16, 16, 24, 32, 64][numbers.below(5)];
    let (channels, rate) = (1 + numbers.below(3) as u16, [8000_u32, 11_025, 44_100, 192_000][numbers.below(4)]);
    let block = channels * (bits / 8);
    let mut file = b"RIFF\0\0\0\0WAVEfmt ".to_vec();
    file.extend(18_u32.to_le_bytes());
    file.extend([tag, channels].map(u16::to_le_bytes).concat());
    file.extend([rate, rate * u32::from(block)].map(u32::to_le_bytes).concat());
    file.extend([block, bits, 0].map(u16::to_le_bytes).concat());
    file.extend(b"data");
    file.extend(2000_u32.to_le_bytes());
    file.extend((0..2000).map(|_| numbers.next() as u8));
    file
}

/// Updates the checksum of every page of an Ogg file.
pub(super) fn seal(file: &mut [u8]) {
    let mut at = 0;
    while let Some(segments) = file.get(at + 26).map(|count| usize::from(*count)) {
        let body: usize = file.iter().skip(at + 27).take(segments).map(|size| usize::from(*size)).sum();
        let end = (at + 27 + segments + body).min(file.len());
        let page = &mut file[at..end];
        page[22..26].fill(0);
        let sum = page.iter().fold(0_u32, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}

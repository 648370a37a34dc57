//! Keys of 10,000 files, by the default template and by one that names every part.
#![expect(clippy::unwrap_used, reason = "nothing from outside reaches it")]

use amp_load::key::KeyTemplate;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const FILES: usize = 10_000;

fn main() {
    divan::main();
}

#[divan::bench(args = ["{file}", "project={project}/year={year}/month={month}/day={day}/hour={hour}/{part}.{ext}"])]
fn keys(bencher: Bencher<'_, '_>, template: &str) {
    let template = KeyTemplate::parse("events/", template).unwrap();
    let name = |number| format!("100011471_2025-11-06_{}#{}.json", number % 24, number / 24);
    let files: Vec<String> = (0..FILES).map(name).collect();
    bencher
        .counter(ItemsCount::new(FILES))
        .bench_local(|| black_box(&files).iter().map(|file| template.key(file).unwrap().len()).sum::<usize>());
}

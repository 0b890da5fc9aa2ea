//! One update of a run, executed again: the same module in the sandbox, with the same shard, global adapter,
//! seed and limits. On one engine transcript and adapter come out with the same bits.
//!
//!     cargo run -p fedseal-federation --example replay_update -- RUN_DIR [UPDATE]
//!
//! UPDATE is the beginning of an id; left out, one is drawn. Needs `fedseal-compile` beside the folder of
//! this program, where a build of the workspace puts it.

use std::error::Error;

use fedseal_federation::replay::{Selector, replay};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let run = words.next().ok_or("arguments: RUN_DIR [UPDATE]")?;
    let selector = match words.next() {
        Some(id) => Selector::Prefix(id),
        None => Selector::Sample { count: 1, seed: 0 },
    };
    for update in replay(&run, &selector, 0)? {
        println!("update     {} of {}", update.update, update.client);
        println!("transcript {}", update.transcript);
        println!("again      {}", update.transcript_again);
        match (update.adapter, update.adapter_again) {
            (Some(logged), Some(again)) => println!("adapter    {logged}\nagain      {again}"),
            _ => println!("adapter    none: the execution failed"),
        }
        if let Some(difference) = update.difference {
            return Err(format!("not the same: {difference}").into());
        }
        println!("the same bits, after {:.1} s", update.seconds);
    }
    Ok(())
}

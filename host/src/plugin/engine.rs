//! The wasmtime engine: its settings, its pool, and the thread that makes time
//! pass for guests.

use std::thread;
use std::time::Duration;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::config::MOST_MEMORY;

/// Length of one epoch: how long a guest runs before others have their turn,
/// and its limits are looked at.
const TICK: Duration = Duration::from_millis(10);

/// Octets of native stack a guest may use.
const WASM_STACK: usize = 512 << 10;
/// Octets of native stack for guest and host functions together.
const FIBER_STACK: usize = WASM_STACK + (512 << 10);
/// Core modules in one component: Python's are linked from about thirty.
const CORE_INSTANCES_PER_COMPONENT: u32 = 64;
/// Linear memories in one component.
const MEMORIES_PER_COMPONENT: u32 = 4;
/// Tables in one component.
const TABLES_PER_COMPONENT: u32 = 64;
/// Elements in one table; interpreters have large ones.
const TABLE_ELEMENTS: usize = 100_000;
/// Octets of a table that are cleared, not given back, when an instance ends.
const TABLE_RESIDENT: usize = 16 << 10;
/// Bytes at the beginning of a linear memory that are written over with what they were
/// when an instance ends, wherever their pages are; what lies behind is given back to the
/// kernel. Built-in plugins are linked with a small stack in front and fit, so that to
/// end one takes no system call and to begin the next no page fault.
const MEMORY_RESIDENT: usize = 256 << 10;
/// Octets of wasmtime's own state for one core instance, and for one component.
const INSTANCE_STATE: usize = 1 << 20;

/// Makes the engine that every plugin of the process runs in.
pub(super) fn engine(instances: u32) -> wasmtime::Result<Engine> {
    let places = InstanceAllocationStrategy::Pooling(pool(instances));
    let engine = Engine::new(settings().allocation_strategy(places))?;
    let weak = engine.weak();
    thread::Builder::new()
        .name("epoch".into())
        .spawn(move || {
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                thread::sleep(TICK);
            }
        })
        .map_err(wasmtime::Error::from)?;
    Ok(engine)
}

/// Makes an engine that compiles what the other one runs, and runs nothing
/// itself: it reserves no places for instances.
pub(super) fn compiler() -> wasmtime::Result<Engine> {
    Engine::new(&settings())
}

/// Settings that decide what a component can be, and how it is compiled. What
/// no guest toolchain needs is off: each is a part that cannot go wrong.
fn settings() -> Config {
    let mut config = Config::new();
    config
        .concurrency_support(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false)
        .wasm_threads(false)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(FIBER_STACK)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .memory_init_cow(true);
    config
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let memory = usize::try_from(MOST_MEMORY).expect("a gibibyte fits an address space");
    let mut pool = PoolingAllocationConfig::default();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(instances.saturating_mul(8))
        .total_memories(instances.saturating_add(instances / 4))
        .total_tables(instances.saturating_mul(8))
        .max_component_instance_size(INSTANCE_STATE)
        .max_core_instance_size(INSTANCE_STATE)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(memory)
        .linear_memory_keep_resident(MEMORY_RESIDENT)
        // Tables are small: to clear one is less than to give it back.
        .table_keep_resident(TABLE_RESIDENT)
        // PAGEMAP_SCAN tells of pages that are present alone. What an ended instance wrote
        // on pages that were swapped out since would reach the next one in its place.
        .pagemap_scan(Enabled::No);
    pool
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash, Hasher};

    use super::*;

    #[test]
    fn the_compiler_compiles_for_the_engine() {
        let hash = |engine: &Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(&engine(1).unwrap()), hash(&compiler().unwrap()));
    }
}

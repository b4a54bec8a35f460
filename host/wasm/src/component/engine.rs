//! The wasmtime engine: its settings, its pool, and the thread that makes time
//! pass for guests.

use std::thread;
use std::time::Duration;

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use restante_config::MOST_MEMORY;

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
pub(crate) fn engine(instances: u32) -> wasmtime::Result<Engine> {
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
pub(crate) fn compiler() -> wasmtime::Result<Engine> {
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

    use wasmtime::{Func, Instance, Module, Ref, Store};

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

    /// Tables that the pool of one place has.
    const TABLES: usize = 8;
    /// Elements of each: more than [`TABLE_RESIDENT`] holds, so that a part is cleared and
    /// a part is given back.
    const ELEMENTS: u32 = 8192;
    /// Octets of the memory: 16 of wasm's pages.
    const MEMORY: usize = 16 << 16;

    /// A core module with a table `t`, all elements null, and with a memory `m` that
    /// begins with `image`, if there is one.
    fn module(image: Option<&[u8; 4]>) -> Vec<u8> {
        let section = |id: u8, contents: &[u8]| {
            let length = u8::try_from(contents.len()).unwrap();
            assert!(length < 128, "one octet of LEB128");
            [&[id, length], contents].concat()
        };
        // funcref, without a maximum, 8192 in LEB128.
        let mut octets = b"\0asm\x01\0\0\0".to_vec();
        octets.extend(section(4, &[1, 0x70, 0, 0x80, 0x40]));
        match image {
            None => octets.extend(section(7, &[1, 1, b't', 1, 0])),
            Some(image) => {
                octets.extend(section(5, &[1, 0, 16]));
                octets.extend(section(7, &[2, 1, b't', 1, 0, 1, b'm', 2, 0]));
                let data = [&[1, 0, 0x41, 0, 0x0b, 4], &image[..]].concat();
                octets.extend(section(11, &data));
            }
        }
        octets
    }

    /// Asks the kernel to write all anonymous memory of this process out to swap. Gives
    /// back how many KiB of it are there.
    #[cfg(target_os = "linux")]
    fn page_out() -> u64 {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        for map in maps.lines() {
            let fields: Vec<&str> = map.split_whitespace().collect();
            let &[range, "rw-p", _, _, _] = fields.as_slice() else {
                continue;
            };
            let (start, end) = range.split_once('-').unwrap();
            let address = |text| usize::from_str_radix(text, 16).unwrap();
            let (start, end) = (address(start), address(end));
            // SAFETY: the contents stay what they are, wherever their pages are. A mapping
            // that is gone meanwhile is an error, which is of no interest.
            let _ = unsafe {
                rustix::mm::madvise(
                    std::ptr::without_provenance_mut(start),
                    end - start,
                    rustix::mm::Advice::LinuxPageOut,
                )
            };
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let swap = status.lines().find_map(|line| line.strip_prefix("VmSwap:"));
        let kib = swap.and_then(|swap| swap.split_whitespace().next());
        kib.map_or(0, |kib| kib.parse().unwrap())
    }

    /// Whatever the system did to the pages of an ended instance: the next one in its place
    /// finds its own image, zeros and null elements. Where the machine has no swap the pages
    /// stay where they are, and this is the easier half of the test alone; to have the other:
    /// `fallocate -l 256M swap; chmod 600 swap; mkswap swap; swapon swap`.
    #[cfg(target_os = "linux")]
    #[test]
    fn an_instance_sees_nothing_of_the_one_before_it_that_was_paged_out() {
        let engine = engine(1).unwrap();
        let [first, second, table] = [Some(b"ours"), Some(b"next"), None]
            .map(|image| Module::new(&engine, module(image)).unwrap());
        let begin = |module: &Module| {
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, module, &[]).unwrap();
            let memory = instance.get_memory(&mut store, "m").unwrap();
            let mut tables = vec![instance.get_table(&mut store, "t").unwrap()];
            while tables.len() < TABLES {
                let instance = Instance::new(&mut store, &table, &[]).unwrap();
                tables.push(instance.get_table(&mut store, "t").unwrap());
            }
            (store, memory, tables)
        };
        let mut swapped = 0;
        for round in 0..4 {
            let (mut store, memory, tables) = begin(&first);
            memory.data_mut(&mut store).fill(0xa5);
            let secret = Func::wrap(&mut store, || ());
            for table in &tables {
                let fill = Ref::Func(Some(secret));
                table.fill(&mut store, 0, fill, ELEMENTS.into()).unwrap();
            }
            swapped = swapped.max(page_out());
            drop(store);

            // Another's module and the same one again.
            let (next, image) = match round % 2 {
                0 => (&second, b"next"),
                _ => (&first, b"ours"),
            };
            let (mut store, memory, tables) = begin(next);
            let octets = memory.data(&store);
            assert_eq!(octets.len(), MEMORY);
            assert_eq!(&octets[..4], image, "round {round}");
            let left = octets[4..].iter().filter(|octet| **octet != 0).count();
            assert_eq!(left, 0, "octets of the instance before, round {round}");
            let mut left = 0;
            for table in &tables {
                assert_eq!(table.size(&store), u64::from(ELEMENTS));
                left += (0..ELEMENTS)
                    .filter(|at| !table.get(&mut store, (*at).into()).unwrap().is_null())
                    .count();
            }
            assert_eq!(left, 0, "elements of the instance before, round {round}");
        }
        if swapped < (MEMORY >> 10) as u64 {
            eprintln!("no swap here ({swapped} KiB of it): pages were not really swapped out");
        }
    }
}

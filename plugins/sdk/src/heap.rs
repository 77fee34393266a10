//! The memory of a plugin on WebAssembly: an allocator for instances that live as long as a batch.
//!
//! An instance is fresh, does little, and is dropped. So new blocks are cut from the end of what is in use, beginning with
//! the memory that the module has at its start: growing it costs the host a system call each time. The last block grows and
//! shrinks in place, as a vector that is being filled does. Freed blocks are kept in a list for each size, so that an
//! aggregator with growing states gets its old blocks back. Sizes are rounded up by an eighth at most.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;

/// Blocks are multiples of it, and aligned to it.
const GRAIN: usize = 16;

/// Sizes of blocks up to 4 GiB, eight for each doubling.
const CLASSES: usize = 8 * 27;

/// Where blocks come from.
pub(crate) trait Memory {
    /// The addresses of the first byte and behind the last one.
    fn initial(&self) -> (usize, usize);

    /// Adds at least so many bytes. Returns the addresses of the first new byte and behind the last one.
    fn grow(&self, bytes: usize) -> Option<(usize, usize)>;
}

/// An allocator for one thread.
pub(crate) struct Heap<M> {
    memory: M,
    blocks: UnsafeCell<Blocks>,
}

struct Blocks {
    /// Behind the last block in use. 0 before the first.
    next: usize,
    end: usize,
    /// The first free block of each size. Its first word is the address of the next one.
    free: [usize; CLASSES],
}

impl<M> Heap<M> {
    pub(crate) const fn new(memory: M) -> Self {
        Self { memory, blocks: UnsafeCell::new(Blocks { next: 0, end: 0, free: [0; CLASSES] }) }
    }
}

/// The class of a block with room for so many bytes, and the block's size.
fn class_of(bytes: usize) -> (usize, usize) {
    let grains = bytes.saturating_sub(1) / GRAIN;
    // Three bits after the first one make a class.
    let shift = (usize::BITS - grains.leading_zeros()).saturating_sub(4);
    (8 * shift as usize + (grains >> shift), ((grains >> shift) + 1) << shift << GRAIN.trailing_zeros())
}

impl Blocks {
    /// Extends what is in use until `block + size`, where `block` is the next address with this alignment.
    fn cut(&mut self, memory: &impl Memory, align: usize, size: usize) -> Option<usize> {
        if self.next == 0 {
            (self.next, self.end) = memory.initial();
        }
        loop {
            let block = self.next.checked_next_multiple_of(align.max(GRAIN))?;
            let behind = block.checked_add(size)?;
            if behind <= self.end {
                self.next = behind;
                return Some(block);
            }
            let (start, end) = memory.grow(behind - self.end)?;
            // Something else may have taken memory since.
            if start != self.end {
                self.next = start;
            }
            self.end = end;
        }
    }

    /// Changes the size of the last block. Returns whether the block was the last one, and there is room.
    fn resize(&mut self, memory: &impl Memory, block: usize, old: usize, new: usize) -> bool {
        if block + old != self.next {
            return false;
        }
        if let Some(missing) = (block + new).checked_sub(self.end).filter(|&missing| missing > 0) {
            match memory.grow(missing) {
                Some((start, end)) if start == self.end => self.end = end,
                Some((start, end)) => {
                    (self.next, self.end) = (start, end);
                    return false;
                }
                None => return false,
            }
        }
        self.next = block + new;
        true
    }
}

// SAFETY: WebAssembly without atomics has one thread.
#[cfg(target_arch = "wasm32")]
unsafe impl<M> Sync for Heap<M> {}

// SAFETY: blocks are disjoint: each is cut from memory behind all others, and only free ones are in a list. They are at
// least as large and as aligned as asked for. The size of a block follows from the size in its layout, because `realloc`
// keeps a block only within its class or as the last one with another size.
unsafe impl<M: Memory> GlobalAlloc for Heap<M> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: there is one thread, and what is called while it is borrowed doesn't allocate.
        let blocks = unsafe { &mut *self.blocks.get() };
        let (class, size) = class_of(layout.size());
        let free = blocks.free[class];
        // Types whose alignment is greater than that of all blocks are rare, and get back what they freed last.
        if free != 0 && free.is_multiple_of(layout.align()) {
            let block = ptr::with_exposed_provenance_mut::<usize>(free);
            // SAFETY: `dealloc` has written the address of the next free block here, and nobody else uses the block.
            blocks.free[class] = unsafe { *block };
            return block.cast();
        }
        blocks.cut(&self.memory, layout.align(), size).map_or(ptr::null_mut(), ptr::with_exposed_provenance_mut)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        let blocks = unsafe { &mut *self.blocks.get() };
        let (class, size) = class_of(layout.size());
        let block = pointer.expose_provenance();
        if block + size == blocks.next {
            blocks.next = block;
        } else {
            // SAFETY: the block is the caller's until now, has the size of a grain at least, and its alignment.
            unsafe { *pointer.cast::<usize>() = blocks.free[class] };
            blocks.free[class] = block;
        }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let (old_class, old) = class_of(layout.size());
        let (new_class, new) = class_of(new_size);
        // SAFETY: as in `alloc`; the calls below borrow it after this function has used it.
        let blocks = unsafe { &mut *self.blocks.get() };
        if old_class == new_class || blocks.resize(&self.memory, pointer.expose_provenance(), old, new) {
            return pointer;
        }
        // SAFETY: the caller promises that the new size is valid with this alignment, and that the block has this layout.
        // Blocks are disjoint, so the new one doesn't overlap the old one.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(new_size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(pointer, moved, layout.size().min(new_size));
                self.dealloc(pointer, layout);
            }
            moved
        }
    }
}

#[cfg(target_arch = "wasm32")]
mod linear {
    use core::arch::wasm32::{memory_grow, memory_size};

    use super::{Heap, Memory};

    const PAGE: usize = 64 << 10;

    unsafe extern "C" {
        /// Where the linker's part of the memory ends: the stack and the data.
        static __heap_base: u8;
    }

    /// The memory of the instance.
    struct Linear;

    impl Memory for Linear {
        fn initial(&self) -> (usize, usize) {
            ((&raw const __heap_base).expose_provenance(), memory_size::<0>() * PAGE)
        }

        fn grow(&self, bytes: usize) -> Option<(usize, usize)> {
            let pages = bytes.div_ceil(PAGE);
            let before = memory_grow::<0>(pages);
            (before != usize::MAX).then(|| (before * PAGE, (before + pages) * PAGE))
        }
    }

    #[global_allocator]
    static HEAP: Heap<Linear> = Heap::new(Linear);
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    /// Memory that grows by pages of 1 KiB, up to a limit.
    struct Pages {
        bytes: Box<[u128]>,
        used: Cell<usize>,
    }

    impl Pages {
        fn heap(kib: usize) -> Heap<Self> {
            Heap::new(Self { bytes: vec![0; kib * 64].into(), used: Cell::new(1 << 10) })
        }

        fn address(&self, offset: usize) -> usize {
            self.bytes.as_ptr().expose_provenance() + offset
        }
    }

    impl Memory for Pages {
        fn initial(&self) -> (usize, usize) {
            (self.address(0), self.address(self.used.get()))
        }

        fn grow(&self, bytes: usize) -> Option<(usize, usize)> {
            let (before, after) = (self.used.get(), self.used.get() + bytes.next_multiple_of(1 << 10));
            self.used.set(after);
            (after <= size_of_val(&*self.bytes)).then(|| (self.address(before), self.address(after)))
        }
    }

    fn layout(bytes: usize) -> Layout {
        Layout::from_size_align(bytes, 8).unwrap()
    }

    fn allocated(heap: &Heap<Pages>, layout: Layout) -> *mut u8 {
        // SAFETY: no layout here is empty.
        unsafe { heap.alloc(layout) }
    }

    fn free(heap: &Heap<Pages>, block: *mut u8, layout: Layout) {
        // SAFETY: the block was allocated with this layout.
        unsafe { heap.dealloc(block, layout) }
    }

    fn resized(heap: &Heap<Pages>, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the block was allocated with this layout, and no size here is 0.
        unsafe { heap.realloc(block, layout, size) }
    }

    fn mark(block: *mut u8, mark: u8, size: usize) {
        // SAFETY: the block has this size.
        unsafe { block.write_bytes(mark, size) }
    }

    fn is_marked(block: *mut u8, mark: u8, size: usize) -> bool {
        // SAFETY: the block has this size, and all of it has been written.
        unsafe { core::slice::from_raw_parts(block, size) }.iter().all(|&byte| byte == mark)
    }

    #[test]
    fn a_block_is_large_enough_and_an_eighth_too_large_at_most() {
        let mut before = (0, GRAIN);
        for bytes in (0..100_000).chain([1 << 20, (1 << 20) + 1, (1 << 31) - 1]) {
            let (class, size) = class_of(bytes);
            assert!(size >= bytes && size.is_multiple_of(GRAIN) && class < CLASSES, "{bytes}: {class} {size}");
            assert!(size <= bytes + bytes / 8 + GRAIN, "{bytes}: {size}");
            assert!((class, size) == before || (class > before.0 && size > before.1), "{bytes}: {class} {size}");
            before = (class, size);
        }
    }

    #[test]
    fn blocks_keep_what_is_in_them_whatever_happens_to_others() {
        let heap = Pages::heap(4 << 10);
        // A fixed sequence of drawn numbers.
        let mut seed = 1_u64;
        let mut draw = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let mut blocks: Vec<(*mut u8, Layout, u8)> = Vec::new();
        for round in 0..20_000 {
            let size = [draw(40), draw(600), draw(9_000)][draw(3)] + 1;
            match draw(3) {
                0 if blocks.len() < 60 => {
                    let layout = Layout::from_size_align(size, 1 << draw(7)).unwrap();
                    let block = allocated(&heap, layout);
                    assert!(!block.is_null() && block.addr().is_multiple_of(layout.align()), "round {round}");
                    mark(block, round as u8, size);
                    blocks.push((block, layout, round as u8));
                }
                1 if !blocks.is_empty() => {
                    let (block, layout, of) = blocks.swap_remove(draw(blocks.len()));
                    assert!(is_marked(block, of, layout.size()), "round {round}");
                    free(&heap, block, layout);
                }
                2 if !blocks.is_empty() => {
                    let at = draw(blocks.len());
                    let (block, layout, of) = &mut blocks[at];
                    *block = resized(&heap, *block, *layout, size);
                    assert!(is_marked(*block, *of, layout.size().min(size)), "round {round}");
                    *layout = Layout::from_size_align(size, layout.align()).unwrap();
                    mark(*block, *of, size);
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_vector_that_is_filled_grows_in_place() {
        let heap = Pages::heap(64);
        let first = allocated(&heap, layout(64));
        let mut block = first;
        for size in (0..10).map(|doublings| 64 << doublings) {
            block = resized(&heap, block, layout(size), size * 2);
            assert_eq!(block, first, "{size}");
        }
        free(&heap, block, layout(65_536));
        assert_eq!(allocated(&heap, layout(1)), first);
    }

    #[test]
    fn calls_that_do_the_same_need_no_more_memory_than_the_first() {
        let heap = Pages::heap(64);
        let call = || {
            // Two vectors grow in turns, so that neither is the last block.
            let mut vectors = [allocated(&heap, layout(64)), allocated(&heap, layout(64))];
            for size in [64, 128, 256, 512, 1_024] {
                for vector in &mut vectors {
                    *vector = resized(&heap, *vector, layout(size), size * 2);
                }
            }
            for vector in vectors {
                free(&heap, vector, layout(2_048));
            }
            heap.memory.used.get()
        };
        let first = call();
        assert!((0..1_000).all(|_| call() == first), "{first}");
    }

    #[test]
    fn memory_that_is_refused_gives_no_block() {
        let heap = Pages::heap(2);
        let block = allocated(&heap, layout(1_500));
        assert!(!block.is_null());
        assert!(allocated(&heap, layout(3_000)).is_null());
        assert!(resized(&heap, block, layout(1_500), 3_000).is_null());
    }
}

// Stacks that threads of a block wait on, kept over blocks and launches.
#pragma once
#include <cstddef>

namespace emulated {

/// A stack and where its execution stopped.
struct Fiber {
    void* stopped = nullptr;
};

/// The fiber of this number; made with a guard page below its stack when first asked for. It begins
/// with `entry`, which never returns.
Fiber& fiber(size_t number, void (*entry)());
/// Stops here, keeping where in `from`, and goes on in `to`.
void switch_to(Fiber& from, Fiber& to);

}  // namespace emulated

// Switching stacks, in a few instructions: a block of 1024 threads does it at every barrier.
#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <vector>

#include "emulated.h"

#if !defined(__x86_64__)
#error "the emulated GPU switches stacks on x86-64 only"
#endif

// Saves the registers that a call preserves and the stack pointer, then takes up the other's.
asm(R"(
    .text
    .type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size emulated_switch, .-emulated_switch
)");
extern "C" void emulated_switch(void** from, void* to);

namespace emulated {
namespace {
constexpr size_t STACK = 128 * 1024;
}

Fiber& fiber(size_t number, void (*entry)()) {
    static auto* all = new std::vector<Fiber*>;
    while (all->size() <= number) {
        const size_t page = size_t(sysconf(_SC_PAGESIZE));
        char* block = static_cast<char*>(
            mmap(nullptr, STACK + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (block == MAP_FAILED || mprotect(block, page, PROT_NONE) != 0) emulated_abort("no memory for a stack");
        // Not all at the same place of their pages: they would share a few lines of the cache.
        const size_t shift = all->size() % 61 * 64;
        // As after a call: the address to return to lies 8 bytes below a multiple of 16.
        auto* top = reinterpret_cast<uint64_t*>(block + page + STACK - shift);
        top -= 2;
        *top = uint64_t(entry);
        top -= 6;
        auto* made = new Fiber;
        made->stopped = top;
        all->push_back(made);
    }
    return *(*all)[number];
}

void switch_to(Fiber& from, Fiber& to) { emulated_switch(&from.stopped, to.stopped); }

}  // namespace emulated

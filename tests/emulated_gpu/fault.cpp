// A kernel that touches memory that is not mapped: says which one and where before the process ends.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "emulated.h"

namespace emulated {
namespace {

struct sigaction before;

void on_fault(int signal, siginfo_t* info, void* context) {
    const char* kernel = running_kernel();
    if (kernel) {
        const Position& at = position();
        char text[512];
        const int length = snprintf(
            text, sizeof text,
            "emulated GPU: kernel %s: block (%u, %u, %u), thread (%u, %u, %u) touched %p, which is not the device's\n", kernel,
            at.block.x, at.block.y, at.block.z, at.thread.x, at.thread.y, at.thread.z, info->si_addr);
        if (length > 0 && write(STDERR_FILENO, text, size_t(length)) < 0) _exit(134);
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGABRT);
        sigprocmask(SIG_UNBLOCK, &mask, nullptr);
        abort();
    }
    // Not a kernel's: whoever handled it before.
    if (before.sa_flags & SA_SIGINFO) {
        before.sa_sigaction(signal, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
        before.sa_handler(signal);
    } else {
        sigaction(signal, &before, nullptr);
    }
}

}  // namespace

void report_faults() {
    static bool installed = false;
    if (!installed) {
        installed = true;
        struct sigaction action {};
        action.sa_sigaction = on_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        if (sigaction(SIGSEGV, &action, &before) != 0) emulated_abort("no handler for faults");
    }
    // A kernel that runs out of stack needs another one to say so.
    thread_local bool stacked = false;
    if (stacked) return;
    stacked = true;
    stack_t own;
    if (sigaltstack(nullptr, &own) == 0 && (own.ss_flags & SS_DISABLE)) {
        stack_t made{};
        made.ss_size = 64 * 1024;
        made.ss_sp = malloc(made.ss_size);
        if (sigaltstack(&made, nullptr) != 0) emulated_abort("no stack for faults");
    }
}

}  // namespace emulated

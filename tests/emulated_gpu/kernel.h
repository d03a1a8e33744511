// What a library of emulated kernels tells the driver: one table for each `.cu` file.
#pragma once
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace emulated {

/// One kernel: its name, how to run one thread of it, and what its arguments are.
struct Kernel {
    const char* name;
    /// Runs one thread; the arguments as of `cuLaunchKernel`.
    void (*thread)(void** arguments);
    uint32_t count;
    /// For each argument whether it is a pointer.
    const bool* pointer;
    /// From `__launch_bounds__`; 0 without.
    uint32_t most_threads;
};

/// The kernels of one `.cu` file and where their static shared memory lies.
struct Module {
    const Kernel* kernels;
    size_t count;
    char* shared;
    char* shared_end;
};

template <auto Function>
struct Threads;

template <class... Argument, void (*Function)(Argument...)>
struct Threads<Function> {
    static constexpr bool pointer[sizeof...(Argument) + 1] = {std::is_pointer_v<Argument>..., false};

    template <size_t... Index>
    static void call(void** arguments, std::index_sequence<Index...>) {
        Function(*static_cast<std::remove_cv_t<Argument>*>(arguments[Index])...);
    }

    static void run(void** arguments) {
        call(arguments, std::index_sequence_for<Argument...>{});
    }

    static constexpr Kernel kernel(const char* name, uint32_t most_threads) {
        return {name, run, sizeof...(Argument), pointer, most_threads};
    }
};

}  // namespace emulated

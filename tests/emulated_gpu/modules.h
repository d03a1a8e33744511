// The libraries of emulated kernels beside the driver, found by what stands in a module's image.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "kernel.h"

namespace emulated {

/// What `cuModuleGetFunction` gives out.
struct Function {
    const Module* module;
    const Kernel* kernel;
    size_t most_dynamic = 48 * 1024;
};

/// What `cuModuleLoadData` gives out: the kernels of one `.cu` file, or of all.
class Loaded {
public:
    explicit Loaded(std::vector<const Module*> modules) : modules_(std::move(modules)) {}
    /// The kernel of this name, or null; aborts where two files have one.
    Function* function(const char* name);

private:
    std::vector<const Module*> modules_;
    std::map<std::string, Function> functions_;
};

/// The `.cu` file that the emulated compiler named in the image, else all there are.
std::vector<const Module*> find_modules(const char* image);

}  // namespace emulated

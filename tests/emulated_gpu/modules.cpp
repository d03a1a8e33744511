// Each `.cu` file is a library of its own, so that helpers of the same name stay apart.
#include "modules.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "emulated.h"

namespace emulated {
namespace {

std::map<std::string, const Module*> load_all() {
    Dl_info own;
    if (!dladdr(reinterpret_cast<void*>(load_all), &own)) emulated_abort("the driver cannot find itself");
    std::map<std::string, const Module*> all;
    const auto folder = std::filesystem::canonical(own.dli_fname).parent_path() / "kernels";
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (entry.path().extension() != ".so") continue;
        void* library = dlopen(entry.path().c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!library) emulated_abort("%s", dlerror());
        const auto* module = static_cast<const Module*>(dlsym(library, "emulated_module"));
        if (!module) emulated_abort("%s: %s", entry.path().c_str(), dlerror());
        all[entry.path().stem()] = module;
    }
    return all;
}

const std::map<std::string, const Module*>& modules() {
    static const auto* all = new auto(load_all());
    return *all;
}

}  // namespace

std::vector<const Module*> find_modules(const char* image) {
    constexpr const char* MARK = "// emulated: ";
    const auto& all = modules();
    if (strncmp(image, MARK, strlen(MARK)) == 0) {
        const char* name = image + strlen(MARK);
        const auto found = all.find(std::string(name, strcspn(name, "\r\n")));
        if (found != all.end()) return {found->second};
    }
    std::vector<const Module*> every;
    for (const auto& [name, module] : all) every.push_back(module);
    return every;
}

Function* Loaded::function(const char* name) {
    static std::mutex lock;
    std::lock_guard held(lock);
    if (const auto known = functions_.find(name); known != functions_.end()) return &known->second;
    Function found{nullptr, nullptr};
    for (const Module* module : modules_)
        for (size_t i = 0; i < module->count; ++i) {
            if (strcmp(module->kernels[i].name, name) != 0) continue;
            if (found.kernel) emulated_abort("two `.cu` files have a kernel %s", name);
            found = {module, &module->kernels[i]};
        }
    if (!found.kernel) {
        fprintf(stderr, "emulated GPU: there is no kernel %s\n", name);
        return nullptr;
    }
    return &functions_.emplace(name, found).first->second;
}

}  // namespace emulated

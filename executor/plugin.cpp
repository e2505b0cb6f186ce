#include "executor/plugin.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "core/error.h"
#include "core/text.h"

namespace tplan {
namespace fs = std::filesystem;

std::vector<std::string> plugin_folders() {
    std::vector<std::string> folders;
    if (const char* path = std::getenv("TPLAN_PLUGIN_PATH")) {
        std::istringstream list(path);
        for (std::string folder; std::getline(list, folder, ':');) {
            if (!folder.empty()) folders.push_back(folder);
        }
    }
    std::error_code ignored;
    const auto program = fs::read_symlink("/proc/self/exe", ignored).parent_path();
    if (!program.empty()) {
        folders.push_back(program.string());
        folders.push_back((program.parent_path() / "lib" / "tplan").string());
    }
    return folders;
}

const void* load_plugin(const std::string& file, const std::string& entry) {
    const auto folders = plugin_folders();
    for (const auto& folder : folders) {
        const auto path = (fs::path(folder) / file).string();
        std::error_code ignored;
        if (!fs::exists(path, ignored)) continue;
        void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (library == nullptr)
            throw Error(path, std::string(::dlerror()), "install what is missing");
        void* const symbol = ::dlsym(library, entry.c_str());
        if (symbol == nullptr)
            throw Error(path, "is no plugin of tplan: it has no " + entry, "build it again");
        return reinterpret_cast<const void* (*)()>(symbol)();
    }
    throw Error(file, "is in none of " + join(folders, ", "),
                "build it, or name its folder in TPLAN_PLUGIN_PATH");
}

}  // namespace tplan

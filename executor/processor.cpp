#include "executor/processor.h"

#include <sys/utsname.h>

#include <fstream>

namespace tplan {

std::string processor_model() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("model name")) {
            const auto colon = line.find(": ");
            if (colon != std::string::npos) return line.substr(colon + 2);
        }
    }
    utsname system{};
    return uname(&system) == 0 ? system.machine : "CPU";
}

}  // namespace tplan

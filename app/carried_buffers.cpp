#include "app/carried_buffers.h"

#include <algorithm>

namespace tplan {

std::vector<int> carried_into(const Section& section) {
    std::vector<int> carried, written;
    for (const auto& step : section.steps) {
        for (const int b : step.inputs) {
            if (!std::ranges::count(written, b) && !std::ranges::count(carried, b))
                carried.push_back(b);
        }
        written.insert(written.end(), step.outputs.begin(), step.outputs.end());
    }
    return carried;
}

}  // namespace tplan

#include "models/program.h"

#include <algorithm>

namespace tplan {

std::string step_id(const Step& step, int layer) {
    return layer < 0 ? step.name : "layers." + std::to_string(layer) + "." + step.name;
}

int differentiated_section(const Program& program, int section) {
    const auto is_loss = [](const Section& one) {
        return !one.steps.empty() && one.steps.front().pass == Pass::loss;
    };
    const auto found = std::find_if(program.sections.begin(), program.sections.end(), is_loss);
    if (found == program.sections.end()) return -1;
    // The sections of the forward pass, the loss, and one backwards for each of the first.
    const auto forward = static_cast<int>(found - program.sections.begin());
    const int of = section - forward - 1;
    return of >= 0 && of < forward ? of : -1;
}

}  // namespace tplan

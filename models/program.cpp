#include "models/program.h"

namespace tplan {

std::string step_id(const Step& step, int layer) {
    return layer < 0 ? step.name : "layers." + std::to_string(layer) + "." + step.name;
}

}  // namespace tplan

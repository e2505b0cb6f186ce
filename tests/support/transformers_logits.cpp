#include "tests/support/transformers_logits.h"

namespace tplan::test {

double reference_weight(std::string_view name, bool vector, std::int64_t index) {
    std::uint64_t state = 0xcbf29ce484222325U;
    for (const char c : name) state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    state += static_cast<std::uint64_t>(index + 1) * 0x9e3779b97f4a7c15U;
    state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9U;
    state = (state ^ (state >> 27)) * 0x94d049bb133111ebU;
    state ^= state >> 31;
    const auto unit = static_cast<double>(state >> 40) / 0x1p24;
    return vector ? unit : 2 * unit - 1;
}

TransformersLogits load_transformers_logits() {
    const std::string path = TPLAN_ROOT "/tests/support/transformers_logits.json";
    return from_json<TransformersLogits>(load_json(path), path);
}

}  // namespace tplan::test

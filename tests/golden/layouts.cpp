#include "planner/document.h"
#include "planner/planned_program.h"
#include "tests/support/catch.h"
#include "tests/support/golden.h"

using namespace tplan;
using namespace tplan::test;

namespace {

struct Node {
    const char* hardware;
    const char* link;
    int tp;
};

std::optional<Totals> totals_of(const ModelConfig& config, const Node& node, LayoutChoice layout) {
    const auto model = build_model(config);
    PlanOptions options;
    options.tp = node.tp;
    options.layout = layout;
    CostOptions cost;
    cost.link = node.link;
    Workload workload;
    workload.batch = 16;
    workload.dtype = workload.kv_dtype = config.dtype;
    const auto planned =
        plan_program(config, model, options, load_hardware(node.hardware), cost, workload);
    if (!planned.program) return std::nullopt;
    return planned.program->totals;
}

/// "3.16 ms | 3.40 ms (+7.6 %)": the searched layout and transformers' own.
std::string cells(const ModelConfig& config, const Node& node) {
    const auto best = totals_of(config, node, LayoutChoice::best);
    REQUIRE(best);
    if (!best->memory.fits) return "does not fit |";
    const auto hf = totals_of(config, node, LayoutChoice::hf);
    const auto own = format_time(best->step);
    if (!hf) return own + " | does not work";
    if (!hf->memory.fits) return own + " | does not fit";
    return fmt::format("{} | {} ({:+.1f} %)", own, format_time(hf->step),
                       100 * (hf->step / best->step - 1));
}

}  // namespace

TEST_CASE("README's table of searched layouts beside transformers' is what the search gives") {
    std::string table =
        "| decode, batch 16, context 1024 | 8 x H100, NVLink | transformers' plan | 4 x L40S, PCIe "
        "| transformers' plan |\n| --- | --- | --- | --- | --- |\n";
    for (const auto& preset : preset_names()) {
        const auto config = load_model_config(preset);
        table += fmt::format("| {} | {} | {} |\n", preset, cells(config, {"h100-sxm", "nvlink", 8}),
                             cells(config, {"l40s", "pcie", 4}));
    }
    check_golden_part("README.md", "layouts", table);
}

#include "app/figures/shard_map.h"
#include "app/figures/svg.h"
#include "tests/support/catch.h"
#include "tests/support/golden.h"
#include "tests/unit/app/studies.h"

using namespace tplan;
using namespace tplan::test;

TEST_CASE("the shard map of a degree that does not work is byte-equal to the reviewed picture") {
    // It has no prices, so that it changes with the drawing alone.
    FigureOptions options;
    options.heads = true;
    const auto study = study_for("llama-3.1-8b", "h100-sxm", 3);
    check_golden("figures/llama-3.1-8b-tp3.svg",
                 svg_text(shard_maps(study, options, standard_metrics()), true));
}

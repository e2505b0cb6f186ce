#include "models/program.h"

#include "tests/support/catch.h"

using namespace tplan;

TEST_CASE("program: a step's id names its layer") {
    Step step;
    step.name = "self_attn.q_proj";
    CHECK(step_id(step, 3) == "layers.3.self_attn.q_proj");
    step.name = "embed_tokens";
    CHECK(step_id(step, -1) == "embed_tokens");
}

TEST_CASE("program: decode works on one token of each sequence, prefill on all") {
    Workload workload;
    workload.batch = 4;
    workload.input = 100;
    workload.context = 70;
    CHECK(workload.rows(Rows::tokens) == 4);
    CHECK(workload.cached_tokens() == 70);
    workload.phase = Phase::prefill;
    CHECK(workload.rows(Rows::tokens) == 400);
    CHECK(workload.rows(Rows::sequences) == 4);
    CHECK(workload.query_tokens() == 100);
}

#include "core/files.h"
#include "core/json_io.h"
#include "tests/support/catch.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;
using namespace tplan::test;
using Catch::Matchers::Contains;

namespace {

std::vector<std::string> train(const std::string& command, std::vector<std::string> more) {
    std::vector<std::string> all{command, "llama-3.1-8b", "--hw", "h100-sxm", "--phase", "train"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
}

/// The one line on stderr of a command that must end with exit code 2.
std::string refusal(const std::vector<std::string>& arguments) {
    const auto result = run_tplan(arguments);
    INFO(fmt::format("{}", fmt::join(arguments, " ")));
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    CHECK(std::count(result.err.begin(), result.err.end(), '\n') == 1);
    return result.err;
}

}  // namespace

TEST_CASE("a training plan prints its mesh and cost, checks clean, is exported and not run") {
    const TempDir folder;
    const auto plan = folder / "plan.json";
    const auto made = run_tplan(train("plan", {"--mesh", "dp_shard=4,tp=2", "-o", plan}));
    INFO(made.err);
    REQUIRE(made.exit_code == 0);
    CHECK_THAT(made.out, Contains("dp_shard=4, tp=2") && Contains("8 GPUs") &&
                             Contains("which accelerate runs") && Contains("gradients") &&
                             Contains("optimizer"));
    const auto document = load_json(plan);
    CHECK(document["mesh"] == Json{{"dp_replicate", 1}, {"dp_shard", 4}, {"tp", 2}});
    const auto& predicted = document["predicted"];
    CHECK(predicted["tokens_per_s"].get<double>() ==
          Catch::Approx(4 * 1024 / predicted["step_s"].get<double>()));
    CHECK(predicted["memory"]["optimizer_bytes"] > predicted["memory"]["gradients_bytes"]);
    CHECK(predicted["exposed_collective_s"] < predicted["collective_s"]);
    CHECK(run_tplan({"check", plan}).exit_code == 0);
    CHECK_THAT(refusal({"run", plan, "-o", folder / "v.json"}), Contains("trains one TP group"));

    auto edited = document;
    edited["request"]["training"]["mesh"]["dp_shard"] = 2;
    write_file(plan, json_text(edited));
    CHECK(run_tplan({"check", plan}).exit_code == 1);
}

TEST_CASE("a training step is run, held against one rank and against slopes, and timed") {
    const TempDir folder;
    const auto config = folder / "config.json";
    write_file(config, json_text(tiny_config("qwen3")));
    const auto plan = folder / "plan.json", validated = folder / "validated.json";
    for (const auto* kernels : {"hf", "served"}) {
        const auto made = run_tplan({"plan", config, "--hw", "h100-sxm", "--phase", "train",
                                     "--layout", "hf", "--tp", "2", "--seq", "8", "--dtype", "fp32",
                                     "--kernels", kernels, "-o", plan});
        INFO(made.err);
        REQUIRE(made.exit_code == 0);
        for (const auto* layers : {"1", "2"}) {
            INFO(kernels << ", " << layers << " layers");
            // Of another machine than this: the step is out of the interval, never the numerics.
            const auto run = run_tplan({"run", plan, "--backend", "cpu", "--reps", "3", "--warmup",
                                        "1", "--layers", layers, "-o", validated});
            INFO(run.err);
            CHECK(run.err.find("numerics") == std::string::npos);
            const auto document = load_json(validated);
            const auto& numerics = document["numerics"];
            INFO(numerics.dump());
            CHECK(numerics["pass"] == true);
            CHECK(numerics["ranks_agree"] == true);
            REQUIRE(numerics["reference"].size() == 4);  // slopes, loss, gradients, update
            for (const auto& check : numerics["reference"]) CHECK(check["largest"] > 0);
            CHECK(document["comparison"]["ops"].size() == document["measured"]["ops"].size());
            CHECK(document["measured"]["ops"].back()["id"] == "optimizer.adamw");
            CHECK(document["measured"]["ops"].back()["time_s"] > 0);
            CHECK(run_tplan({"check", validated}).exit_code == 0);
        }
    }
    const auto refused = [&](std::vector<std::string> more) {
        std::vector<std::string> all{"plan",  config,  "--hw", "h100-sxm", "--phase",
                                     "train", "--seq", "8",    "-o",       plan};
        all.insert(all.end(), more.begin(), more.end());
        REQUIRE(run_tplan(all).exit_code == 0);
        return refusal({"run", plan, "--backend", "cpu", "-o", validated});
    };
    CHECK_THAT(refused({"--tp", "2", "--dtype", "bf16"}), Contains("--dtype fp32"));
    CHECK_THAT(refused({"--tp", "2", "--dtype", "fp32", "--accumulate", "2"}),
               Contains("--accumulate 1"));
    CHECK_THAT(refused({"--tp", "2", "--dtype", "fp32", "--recompute", "full"}),
               Contains("--recompute none"));
}

TEST_CASE("a training plan is exported to what trains, and says what that does otherwise") {
    const TempDir folder;
    const auto plan = folder / "plan.json";
    REQUIRE(run_tplan(train("plan", {"--mesh", "dp_shard=4,tp=2", "--seq", "2048", "--accumulate",
                                     "3", "--recompute", "full", "-o", plan}))
                .exit_code == 0);
    const auto exported = [&](const char* target) {
        const auto result = run_tplan({"export", plan, "--to", target});
        INFO(target << ": " << result.err);
        CHECK(result.exit_code == 0);
        return result.out;
    };
    CHECK_THAT(exported("accelerate"),
               Contains("dp_shard_size=4") && Contains("tp_size=2") &&
                   Contains("torchrun --nproc-per-node 8") && Contains("ends in an ImportError") &&
                   Contains("DistributedConfig(tp_size=2, fsdp_size=4, ") &&
                   Contains("fully_shard(layer, **sharding)") &&
                   Contains("gradient_checkpointing_enable()") && Contains("3 micro-batches") &&
                   !Contains("accelerator ="));
    CHECK_THAT(exported("megatron"),
               Contains("--tensor-model-parallel-size 2") && Contains("--seq-length 2048") &&
                   Contains("--global-batch-size 12 ") && Contains("--use-torch-fsdp2") &&
                   Contains("--recompute-granularity full"));
    CHECK_THAT(exported("hf"), Contains("one TP group of the mesh dp_replicate=1, dp_shard=4"));
    for (const auto* target : {"vllm", "trtllm"}) {
        const auto result = run_tplan({"export", plan, "--to", target});
        CHECK(result.exit_code == 1);
        CHECK_THAT(result.err, Contains("serves, the plan trains"));
    }
}

TEST_CASE("accelerate prepares the mesh of a transformers that it can") {
    const TempDir folder;
    const auto plan = folder / "plan.json";
    REQUIRE(run_tplan(train("plan", {"--mesh", "dp_shard=4,tp=2", "--accumulate", "3",
                                     "--recompute", "full", "--transformers", "5.10", "-o", plan}))
                .exit_code == 0);
    CHECK_THAT(run_tplan({"export", plan, "--to", "accelerate"}).out,
               Contains("fsdp_version=2") && Contains("activation_checkpointing=True") &&
                   Contains("num_steps=3") &&
                   Contains("tp_size=2,\n    device_mesh=accelerator.torch_device_mesh") &&
                   Contains("= accelerator.prepare(model, optimizer)"));
}

TEST_CASE("a searched layout of training is exported op by op") {
    const TempDir folder;
    const auto plan = folder / "plan.json";
    REQUIRE(run_tplan({"plan", "gpt2", "--hw", "h100-sxm", "--phase", "train", "--mesh",
                       "dp_shard=2,tp=2", "-o", plan})
                .exit_code == 0);
    REQUIRE(load_json(plan).contains("layout"));
    CHECK(run_tplan({"check", plan}).exit_code == 0);
    CHECK(run_tplan({"show", plan}).exit_code == 0);
    const auto megatron = run_tplan({"export", plan, "--to", "megatron"});
    CHECK(megatron.exit_code == 1);
    CHECK_THAT(megatron.err, Contains("shared with the head"));
    const auto hf = run_tplan({"export", plan, "--to", "accelerate"});
    CHECK(hf.exit_code == 1);
    CHECK_THAT(hf.err, Contains("splits nothing"));
}

TEST_CASE("Megatron's own layout is named beside a searched one of training") {
    const TempDir folder;
    const auto plan = folder / "plan.json";
    REQUIRE(run_tplan({"plan", "gpt2", "--hw", "h100-sxm", "--phase", "train", "--mesh", "tp=2",
                       "-o", plan})
                .exit_code == 0);
    const auto megatron = run_tplan({"export", plan, "--to", "megatron"});
    CHECK(megatron.exit_code == 0);
    CHECK_THAT(megatron.out, Contains("Megatron cuts transformer.h.*.mlp.c_fc by output rows"));
}

TEST_CASE("a training plan over nodes is started on each of them") {
    const TempDir folder;
    const auto plan = folder / "plan.json";
    REQUIRE(run_tplan(train("plan", {"--mesh", "dp_replicate=2,dp_shard=4,tp=2", "--nodes", "2",
                                     "-o", plan}))
                .exit_code == 0);
    CHECK_THAT(run_tplan({"export", plan, "--to", "accelerate"}).out,
               Contains("--nnodes 2 --nproc-per-node 8") && Contains("dp_replicate_size=2"));
}

TEST_CASE("a training plan is shown and reported as what it is") {
    const TempDir folder;
    const auto plan = folder / "plan.json", page = folder / "page.html";
    REQUIRE(run_tplan(train("plan", {"--mesh", "dp_shard=4,tp=2", "-o", plan})).exit_code == 0);
    const auto shown = run_tplan({"show", plan});
    CHECK(shown.exit_code == 0);
    CHECK_THAT(shown.out, Contains("layer x 32") && Contains("mlp.down_proj.weight"));
    const auto reported = run_tplan({"report", plan, "-o", page});
    INFO(reported.err);
    REQUIRE(reported.exit_code == 0);
    const auto text = read_file(page, std::size_t{1} << 24);
    CHECK_THAT(text, Contains("trained over 8 x h100-sxm") && Contains("dp_shard=4, tp=2") &&
                         Contains("parameters.all_gather") && Contains("gradients") &&
                         Contains("isolated step") && Contains("shard-map-0"));
    CHECK_THAT(text, !Contains("to the first token") && !Contains("KV cache"));
    CHECK(run_tplan({"report", plan, "-o", folder / "shards.svg"}).exit_code == 0);
}

TEST_CASE("a training estimate says what its time leaves out and how far the interval goes") {
    const auto json = run_tplan(train("estimate", {"--mesh", "dp_shard=8", "--json"}));
    REQUIRE(json.exit_code == 0);
    const auto document = parse_json(json.out, "stdout");
    const double step = document["step_s"];
    CHECK(document["interval_90_s"][0].get<double>() < step);
    CHECK(document["interval_90_s"][1].get<double>() > 2 * step);
    CHECK(document["ttft_isolated_s"].is_null());
    CHECK(document["tpot_isolated_s"].is_null());
    CHECK(document["link"] == "nvlink");
    CHECK_THAT(run_tplan(train("estimate", {"--mesh", "dp_shard=8"})).out,
               Contains("isolated step") && Contains("without the host") &&
                   Contains("8 x h100-sxm over nvlink"));
}

TEST_CASE("training that cannot be is refused with what to do") {
    CHECK_THAT(refusal(train("estimate", {"--mesh", "dp_shard=8,tp=2"})),
               Contains("16 ranks") && Contains("8 GPUs"));
    CHECK_THAT(refusal(train("estimate", {"--mesh", "pipeline=2"})), Contains("dp_replicate"));
    CHECK_THAT(refusal(train("estimate", {"--mesh", "tp=2,tp=2"})), Contains("twice"));
    CHECK_THAT(refusal(train("estimate", {"--mesh", "tp=2", "--tp", "4"})), Contains("once"));
    CHECK_THAT(refusal(train("estimate", {"--mesh", "tp=0"})), Contains("above zero"));
    CHECK_THAT(refusal(train("plan", {"--gpus", "8"})), Contains("--mesh"));
    CHECK_THAT(refusal(train("plan", {"--gpus", "8", "--mesh", "tp=2"})), Contains("--gpus"));
    CHECK_THAT(refusal(train("estimate", {"--tp", "2", "--seq", "0"})), Contains("--seq: 0"));
    CHECK_THAT(refusal(train("estimate", {"--tp", "2", "--accumulate", "0"})),
               Contains("--accumulate: 0"));
    CHECK_THAT(refusal(train("estimate", {"--tp", "2", "--recompute", "some"})),
               Contains("none, selective, full"));
    CHECK_THAT(refusal(train("estimate", {"--tp", "2", "--dtype", "fp8"})), Contains("--dtype"));
    CHECK_THAT(refusal(train("estimate", {"--mesh", "dp_shard=16"})),
               Contains("16 ranks") && Contains("--nodes"));
    CHECK_THAT(refusal(train("estimate", {"--tp", "2", "--context", "9"})), Contains("--seq"));
    CHECK_THAT(refusal(train("sweep", {"--tp", "1,2", "--mesh", "tp=2"})), Contains("--tp"));
    const auto no = run_tplan(train("estimate", {"--tp", "3", "--layout", "hf"}));
    CHECK(no.exit_code == 1);
    CHECK_THAT(no.err, Contains("heads_not_divisible") &&
                           Contains("degrees that work: 1 2 4 8\n") && !Contains("remedies"));
}

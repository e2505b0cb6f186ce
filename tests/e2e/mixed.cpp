// A plan over two kinds of GPU from the command line to a run on the CPU.
#include "tests/e2e/commands.h"
#include "tests/support/tiny_configs.h"
#include "tests/unit/cost_model/toy_hardware.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// The toy with no launches, `speed` times as fast, over links that cost nearly nothing.
std::string profile_file(const TempDir& folder, const std::string& name, double speed) {
    auto h = toy_hardware();
    h.name = name;
    h.launch = h.attention_launch = Seconds(0);
    h.memory = Bytes(1e9);
    h.memory_bandwidth = h.memory_bandwidth * speed;
    h.peaks[0].rate = h.peaks[0].rate * speed;
    for (auto& link : h.links) {
        link.bandwidth = Bandwidth(1e12);
        link.latency = link.base_latency = Seconds(1e-12);
    }
    auto path = folder / (name + ".json");
    write_file(path, json_text(h));
    return path;
}

}  // namespace

TEST_CASE("two kinds of GPU: unequal shares are planned, checked and run") {
    const TempDir folder;
    auto config = tiny_config("llama");
    config["num_attention_heads"] = 8;
    config["num_key_value_heads"] = 2;
    config["hidden_size"] = 128;
    write_file(folder / "config.json", config.dump());
    const auto hw =
        profile_file(folder, "fast", 3) + ":1+" + profile_file(folder, "slow", 1) + ":1";
    const auto path = folder / "plan.json", out = folder / "run.json";
    const auto made = run_tplan({"plan", folder / "config.json", "--hw", hw, "--dtype", "fp32",
                                 "--phase", "prefill", "--input", "24", "-o", path});
    INFO(made.err);
    REQUIRE(made.exit_code == 0);
    CHECK(made.out.find("3:1 for 1 x fast and 1 x slow by speed") != std::string::npos);

    const auto plan = load_json(path);
    CHECK(plan["tp"] == 2);
    CHECK(plan["request"]["plan"]["shares"] == Json{{"ranks", 1}, {"first", 3}, {"rest", 1}});
    CHECK(plan["predicted"]["kinds"].size() == 2);
    // 6 of 8 query heads; the KV head of heads 4 to 7 is read on both sides of the boundary.
    const auto of = [&](const std::string& name) {
        for (const auto& tensor : plan["tensors"]) {
            if (tensor["name"] == name) return tensor["shards"];
        }
        return Json();
    };
    const auto head_dim = config["hidden_size"].get<int>() / 8;
    const auto queries = of("model.layers.0.self_attn.q_proj.weight");
    CHECK(queries[0]["pieces"][0]["shape"][0] == 6 * head_dim);
    CHECK(queries[1]["pieces"][0]["shape"][0] == 2 * head_dim);
    CHECK(of("model.layers.0.self_attn.k_proj.weight")[0]["pieces"].size() == 2);
    CHECK(of("model.layers.0.self_attn.k_proj.weight")[1]["pieces"].size() == 1);

    CHECK(run_tplan({"check", path}).exit_code == 0);
    CHECK(run_tplan({"show", path}).exit_code == 0);
    const auto page = folder / "page.html";
    REQUIRE(run_tplan({"report", path, "-o", page}).exit_code == 0);
    const auto report = read_file(page, std::size_t{1} << 24);
    CHECK(report.find("3:1 for 1 x fast and 1 x slow by speed") != std::string::npos);
    CHECK(report.find("Both kinds of device") != std::string::npos);
    CHECK(report.find("Use TP") == std::string::npos);
    expect_failure({"gui", path, "--screenshot", folder / "window.png"}, 2, {"two kinds of GPU"});
    const auto run = run_tplan({"run", path, "--backend", "cpu", "--reps", "3", "-o", out});
    INFO(run.out << run.err);
    CHECK(run.exit_code != 2);
    CHECK(load_json(out)["numerics"]["pass"] == true);
    CHECK(run_tplan({"check", out}).exit_code == 0);

    expect_failure({"run", path, "--backend", "cuda", "-o", out}, 2, {"--backend cuda", "slow"});
    for (const std::string target : {"hf", "vllm", "trtllm", "megatron"})
        expect_failure({"export", path, "--to", target}, 1, {"3:1"});
    auto edited = plan;
    edited["request"]["plan"]["shares"]["first"] = 2;
    write_file(folder / "edited.json", edited.dump());
    expect_failure({"check", folder / "edited.json"}, 1, {"shares"});
}

TEST_CASE("two kinds of GPU: what cannot be asked gets words and exit 2") {
    const auto refused = [](const std::string& hw, std::vector<std::string> more,
                            std::initializer_list<const char*> words) {
        std::vector<std::string> arguments{"plan", "qwen3-0.6b", "--hw", hw};
        arguments.insert(arguments.end(), more.begin(), more.end());
        expect_failure(arguments, 2, words);
    };
    for (const std::string hw : {"l40s:2+rtx-4090", "l40s+rtx-4090", "l40s:2", "l40s:0+l4:1",
                                 "l40s:2+l4:1+a10:1", "l40s:9+l4:1"})
        refused(hw, {}, {"--hw", "such as l40s:2+rtx-4090:2"});
    refused("l40:2+l4:1", {}, {"--hw l40", "no such hardware profile"});
    refused("l40s:1+l4:1", {"--tp", "1"}, {"--tp", "2 GPUs"});
    refused("l40s:1+l4:1", {"--gpus", "2"}, {"--gpus"});
    refused("l40s:1+l4:1", {"--nodes", "2"}, {"--nodes"});
    refused("l40s:1+l4:1", {"--phase", "train"}, {"--phase train"});
    refused("h100-sxm:1+l4:1", {"--link", "nvlink"}, {"nvlink", "pcie"});
    expect_failure({"sweep", "qwen3-0.6b", "--hw", "l40s:1+l4:1", "--tp", "2"}, 2,
                   {"two kinds of GPU", "plan and estimate"});
    expect_failure({"estimate", "qwen3-0.6b", "--hw", "l40s", "--batch", "2"}, 2, {"--tp"});
}

TEST_CASE("two kinds of GPU: estimate says what each does and holds") {
    const auto document = json_of({"estimate", "llama-3.1-8b", "--hw", "l40s:1+l4:1"});
    CHECK(document["tp"] == 2);
    CHECK(document["hardware"] == "l40s:1+l4:1");
    CHECK(document["link"] == "pcie");
    require_keys(document, {"shares", "kinds"});
    const auto& kinds = document["kinds"];
    CHECK(kinds[0]["device"] == "l40s");
    CHECK(document["shares"]["first"] > document["shares"]["rest"]);
    double most = 0;
    for (const auto& kind : kinds) {
        CHECK(kind["ranks"] == 1);
        CHECK(kind["compute_s"] <= document["compute_s"]);
        const auto& memory = kind["memory"];
        most = std::max(
            most, memory["total_bytes"].get<double>() / memory["capacity_bytes"].get<double>());
    }
    const auto& memory = document["memory"];
    CHECK(memory["total_bytes"].get<double>() / memory["capacity_bytes"].get<double>() == most);
}

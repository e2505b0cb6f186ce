#include "tests/e2e/commands.h"

#include <set>
#include <sstream>

using namespace tplan;
using namespace tplan::test;

TEST_CASE("models lists every preset with parameters, heads and verdict") {
    const auto document = json_of({"models"});
    CHECK(document["schema"] == "tplan.models/1");
    std::set<std::string> names;
    for (const auto& row : document["models"]) names.insert(row["name"].get<std::string>());
    CHECK(names.size() >= 32);
    CHECK(names.contains("qwen3-0.6b"));
    CHECK(run_tplan({"models"}).out.find("llama-3.1-405b") != std::string::npos);
}

TEST_CASE("flags: what is wrong is said as flag, fault and what to do") {
    const auto wrong = [](std::vector<std::string> flags, const char* expected) {
        flags.insert(flags.begin(), {"estimate", "gpt2", "--hw", "h100-sxm", "--tp", "1"});
        expect_failure(flags, 2, {expected});
    };
    wrong({"--memory-fraction", "most"}, R"(--memory-fraction: "most" is not a number)");
    wrong({"--input", "1e3"}, R"(--input: "1e3" is not an integer)");
    wrong({"--kernel", "hf"},
          R"(--kernel: tplan estimate takes no such flag; did you mean "--kernels"?)");
    wrong({"more"}, "more: tplan estimate takes no such argument");
    wrong({"--phase"}, "--phase needs a value");
    wrong({"--link", "pcie", "--link", "pcie"}, "--link is given more than once");
    expect_failure({"sweep", "gpt2", "--hw", "l4", "--tp", "1", "--format", "cvs"}, 2,
                   {R"(--format: "cvs" is not one of table, csv, json)"});
}

TEST_CASE("inspect has the keys of its contract and exact counts") {
    const auto document = json_of({"inspect", "llama-3.1-8b", "--tp", "1,2,8"});
    CHECK(document["schema"] == "tplan.inspect/1");
    require_keys(document, {"model_type", "supports_tp", "reason", "base_model_tp_plan", "lm_head",
                            "parameters", "weight_bytes", "tp"});
    CHECK(document["parameters"] == 8030261248);
    CHECK(document["supports_tp"] == "yes");
    CHECK(document["base_model_tp_plan"]["layers.*.self_attn.q_proj"] == "colwise");
    REQUIRE(document["tp"].size() == 3);
    const auto& eight = document["tp"][2];
    require_keys(eight, {"tp", "feasible", "violations", "remedies", "notes",
                         "weight_bytes_per_rank", "tensors"});
    for (const auto& tensor : eight["tensors"]) {
        if (tensor["name"] != "model.layers.31.self_attn.k_proj.weight") continue;
        CHECK(tensor["shape"] == Json({1024, 4096}));
        CHECK(tensor["style"] == "colwise");
        REQUIRE(tensor["shards"].size() == 8);
        CHECK(tensor["shards"][7]["pieces"][0]["shape"] == Json({128, 4096}));
        CHECK(tensor["shards"][7]["pieces"][0]["offset"] == Json({896, 0}));
    }
}

TEST_CASE("inspect shows the shards that transformers would cut even where the degree then fails") {
    const auto result = run_tplan({"inspect", "qwen3-0.6b", "--tp", "3", "--json"});
    CHECK(result.exit_code == 1);
    const auto document = parse_json(result.out, "stdout");
    CHECK(document["tp"][0]["feasible"] == false);
    CHECK(document["tp"][0]["tensors"].size() > 300);
    std::set<std::string> codes;
    for (const auto& violation : document["tp"][0]["violations"])
        codes.insert(violation["code"].get<std::string>());
    CHECK(codes.contains("heads_not_divisible"));
    CHECK(codes.contains("kv_heads_not_divisible"));
    CHECK(codes.contains("vocab_not_divisible"));
}

TEST_CASE("estimate has the keys of its contract and its parts add up") {
    const auto document =
        json_of({"estimate", "llama-3.1-70b", "--hw", "h100-sxm", "--tp", "8", "--batch", "4"});
    CHECK(document["schema"] == "tplan.estimate/1");
    require_keys(document,
                 {"model", "hardware", "tp", "link", "workload", "step_s", "interval_90_s",
                  "layer_s", "compute_s", "collective_s", "exposed_collective_s", "launch_s",
                  "tokens_per_s", "provenance", "domain", "ops", "memory", "tpot_isolated_s"});
    require_keys(
        document["memory"],
        {"weights_bytes", "kv_cache_bytes", "activations_bytes", "logits_bytes", "gradients_bytes",
         "optimizer_bytes", "communication_bytes", "workspace_bytes", "total_bytes",
         "interval_90_bytes", "capacity_bytes", "fits", "max_batch", "max_context"});
    double sum = 0;
    int all_reduces = 0;
    for (const auto& op : document["ops"]) {
        require_keys(op, {"id", "layer", "name", "kind", "shape", "flops", "bytes", "payload_bytes",
                          "time_s", "bound", "provenance"});
        sum += op["time_s"].get<double>();
        all_reduces += op["kind"] == "all_reduce";
    }
    CHECK(sum == Catch::Approx(document["step_s"].get<double>()));
    CHECK(all_reduces == 160);
    CHECK(document["interval_90_s"][0] <= document["step_s"]);
    CHECK(document["interval_90_s"][1] >= document["step_s"]);
}

TEST_CASE("what is priced as something else is said") {
    const std::vector<std::string> pair{"llama-3.1-8b", "--hw", "l40s",          "--tp", "4",
                                        "--link",       "pcie", "--collectives", "vllm"};
    const auto mentions_nccl = [](const Json& notes) {
        return std::ranges::any_of(notes, [](const Json& note) {
            return note.get<std::string>().find("priced as nccl") != std::string::npos;
        });
    };
    for (const std::string command : {"estimate", "sweep"}) {
        std::vector<std::string> arguments{command};
        arguments.insert(arguments.end(), pair.begin(), pair.end());
        CHECK(mentions_nccl(json_of(arguments)["notes"]));
    }
    auto bridged = json_of({"estimate", "llama-3.1-8b", "--hw", "l40s", "--tp", "4"});
    CHECK(bridged["link"] == "pcie");
    CHECK_FALSE(mentions_nccl(bridged["notes"]));
}

TEST_CASE("not fitting in memory is an answer with exit 0") {
    const auto document = json_of({"estimate", "llama-3.1-405b", "--hw", "l4", "--tp", "1"});
    CHECK(document["memory"]["fits"] == false);
}

TEST_CASE("sweep covers all combinations and marks the best") {
    const auto document = json_of({"sweep", "llama-3.1-8b", "--hw", "h100-sxm,l40s", "--link",
                                   "pcie", "--tp", "1,2,3,4", "--batch", "1,16", "--layout", "hf"});
    CHECK(document["schema"] == "tplan.sweep/1");
    CHECK(document["rows"].size() == 16);
    int best = 0;
    for (const auto& row : document["rows"]) {
        require_keys(row, {"hardware", "link", "tp", "batch", "step_s", "speedup", "best"});
        best += row["best"].get<bool>();
        if (row["tp"] == 3) CHECK(row["step_s"].is_null());
    }
    CHECK(best == 4);
    const auto csv =
        run_tplan({"sweep", "llama-3.1-8b", "--hw", "l40s", "--tp", "1,2", "--format", "csv"});
    CHECK(csv.exit_code == 0);
    CHECK(std::count(csv.out.begin(), csv.out.end(), '\n') == 3);
}

TEST_CASE("a sweep over machines without a common link says which has none") {
    const auto document = json_of(
        {"sweep", "llama-3.1-8b", "--hw", "h100-sxm,l40s", "--link", "nvlink,pcie", "--tp", "2"});
    REQUIRE(document["rows"].size() == 4);
    int lacking = 0;
    for (const auto& row : document["rows"]) {
        if (row["feasible"] == true) continue;
        ++lacking;
        CHECK(row["reason"] == "l40s has no nvlink");
    }
    CHECK(lacking == 1);
    expect_failure({"sweep", "llama-3.1-8b", "--hw", "l40s", "--link", "nvlink", "--tp", "2"}, 2,
                   {"no such link"});
}

TEST_CASE("what a device cannot multiply is priced wider and said") {
    const auto document = json_of({"estimate", "llama-3.1-8b", "--hw", "v100-sxm", "--tp", "2"});
    CHECK(std::ranges::any_of(document["notes"], [](const Json& note) {
        return note ==
               "v100-sxm has no bf16 arithmetic: products run in fp32; give --dtype fp16 for its "
               "matrix units";
    }));
}

TEST_CASE("tokens beyond a learned position table are refused") {
    expect_failure({"estimate", "gpt2", "--hw", "h100-sxm", "--tp", "1", "--context", "1025"}, 2,
                   {"--context", "1024 positions"});
    CHECK(run_tplan({"estimate", "gpt2", "--hw", "h100-sxm", "--tp", "1", "--context", "1024"})
              .exit_code == 0);
}

TEST_CASE("a plan checks clean and an edited one is refused") {
    const TempDir folder;
    const auto path = make_plan_file(folder);
    CHECK(run_tplan({"check", path}).exit_code == 0);
    auto document = load_json(path);
    require_keys(document, {"schema", "model", "hardware", "workload", "tp", "mesh", "tensors",
                            "program", "predicted", "why", "alternatives", "diagnostics"});
    document["predicted"]["memory"]["weights_bytes"] =
        document["predicted"]["memory"]["weights_bytes"].get<double>() + 1024;
    const auto edited = folder.file("edited.json", json_text(document));
    expect_failure({"check", edited}, 1, {"predicted/memory/weights_bytes"});
    expect_failure({"run", edited, "-o", folder / "never.json"}, 2,
                   {"predicted/memory/weights_bytes"});
    CHECK(folder.listing().find("never") == std::string::npos);
    expect_failure({"run", path, "-o", folder / "missing/v.json"}, 2, {"missing/v.json"});
}

TEST_CASE("a figure of an own profile that the prediction does not use is checked as well") {
    const TempDir folder;
    auto profile = load_json(resource_path("data/hardware/h100-sxm.json"));
    profile["name"] = "mine";
    const auto hardware = folder.file("mine.json", json_text(profile));
    const auto path = folder / "plan.json";
    REQUIRE(
        run_tplan({"plan", "qwen3-0.6b", "--hw", hardware, "--tp", "2", "-o", path}).exit_code ==
        0);
    CHECK(run_tplan({"check", path}).exit_code == 0);
    auto document = load_json(path);
    document["hardware"]["network"]["latency_s"] = 1.0;
    const auto edited = folder.file("edited.json", json_text(document));
    expect_failure({"check", edited}, 1, {"hardware/network/latency_s"});
}

TEST_CASE("plan weighs degrees and says why") {
    const TempDir folder;
    const auto path =
        make_plan_file(folder, {"plan", "llama-3.1-70b", "--hw", "h100-sxm", "--gpus", "8", "-o"});
    const auto document = load_json(path);
    CHECK(document["why"].get<std::string>().find("TP 8") != std::string::npos);
    // 1 to 7 GPUs of one group, and groups beside each other: 8 GPUs hold no second copy.
    CHECK(document["alternatives"].size() >= 7);
    for (const auto& other : document["alternatives"])
        CHECK(!other["reason"].get<std::string>().empty());
    for (const auto& section : document["program"]["sections"]) {
        for (const auto& step : section["steps"]) {
            if (step["kind"] == "all_reduce") CHECK(step["algorithm"].get<std::string>() != "auto");
        }
    }
    CHECK(run_tplan({"check", path}).exit_code == 0);
}

TEST_CASE("show draws a model and a plan") {
    const TempDir folder;
    const auto model = run_tplan({"show", "qwen3-0.6b", "--tp", "2"});
    CHECK(model.exit_code == 0);
    CHECK(model.out.find("000000000000000000000000111111111111111111111111") != std::string::npos);
    auto plan = kPlanQwen;
    plan.insert(plan.end() - 1, {"--layout", "hf"});
    CHECK(run_tplan({"show", make_plan_file(folder, plan)}).out == model.out);
}

TEST_CASE("hardware lists profiles and shows one with sources") {
    CHECK(run_tplan({"hardware"}).out.find("rtx-pro-6000-server") != std::string::npos);
    const auto one = run_tplan({"hardware", "h100-sxm"});
    CHECK(one.exit_code == 0);
    CHECK(one.out.find("datasheet") != std::string::npos);
    CHECK(json_of({"hardware", "h100-sxm"})["schema"] == "tplan.hardware/1");
    CHECK(json_of({"hardware", "--detect"})["schema"] == "tplan.detected/1");
}

TEST_CASE("bench of the executor measures its own keys and no other part's") {
    const auto document = json_of({"bench", "executor"});
    require_keys(document, {"schema", "executor_vs_library", "all_reduce_64k_s", "machine"});
    CHECK(document["executor_vs_library"] > 0.1);  // a ratio of rates, whatever the machine does
    CHECK(document["executor_vs_library"] < 10);
    CHECK_FALSE(document.contains("estimates_per_s_per_core"));
}

TEST_CASE("report writes one self-contained page or the shard map, and refuses other endings") {
    const TempDir folder;
    const auto plan = folder / "plan.json", page = folder / "report.html";
    const auto picture = folder / "shards.svg";
    REQUIRE(run_tplan({"plan", "qwen3-0.6b", "--hw", "l40s", "--tp", "2", "-o", plan}).exit_code ==
            0);
    CHECK(run_tplan({"report", plan, "-o", page}).exit_code == 0);
    const auto html = read_file(page, std::size_t{1} << 24);
    CHECK(html.starts_with("<!DOCTYPE html>"));
    CHECK(html.find("Use TP ") != std::string::npos);
    CHECK(html.find("<script") == std::string::npos);
    CHECK(html.find("href=") == std::string::npos);
    CHECK(run_tplan({"report", plan, "-o", picture}).exit_code == 0);
    CHECK(read_file(picture, std::size_t{1} << 24).starts_with("<svg "));
    expect_failure({"report", plan, "-o", folder / "report.pdf"}, 2, {".html", ".svg"});
    expect_failure({"report", folder / "absent.json", "-o", page}, 2, {"absent.json"});
}

TEST_CASE("export writes what transformers takes and refuses what a target cannot say") {
    const TempDir folder;
    const auto plan = folder / "plan.json", written = folder / "tp_plan.json";
    REQUIRE(run_tplan(
                {"plan", "llama-3.1-8b", "--hw", "l40s", "--tp", "2", "--layout", "hf", "-o", plan})
                .exit_code == 0);
    CHECK(run_tplan({"export", plan, "--to", "hf", "-o", written}).exit_code == 0);
    CHECK(load_json(written).contains("model.layers.*.self_attn.q_proj"));
    const auto vllm = run_tplan({"export", plan, "--to", "vllm"});
    CHECK(vllm.out.find("--tensor-parallel-size 2") != std::string::npos);
    CHECK(json_of({"export", plan, "--to", "accelerate"})["schema"] == "tplan.export/1");
    REQUIRE(
        run_tplan({"plan", "llama-3.1-8b", "--hw", "l40s", "--tp", "2", "-o", plan}).exit_code ==
        0);
    const auto deviating = run_tplan({"export", plan, "--to", "megatron"});
    CHECK(deviating.exit_code == 0);
    CHECK(deviating.out.find("--tensor-model-parallel-size 2") != std::string::npos);
    REQUIRE(
        run_tplan({"plan", "llama-3.1-8b", "--hw", "l40s", "--tp", "3", "-o", plan}).exit_code ==
        0);
    expect_failure({"export", plan, "--to", "vllm"}, 1, {"vllm"});
    expect_failure({"export", plan, "--to", "excel"}, 2, {"hf", "megatron"});
}

TEST_CASE("every command has help with an example") {
    // "Subcommands:" and then one a line, indented, the name first.
    std::istringstream lines(run_tplan({"--help"}).out);
    std::vector<std::string> commands;
    bool listed = false;
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string name;
        if (line.starts_with("Subcommands")) {
            listed = true;
        } else if (listed && line.starts_with("  ") && line[2] != ' ' && words >> name) {
            commands.push_back(name);
        }
    }
    REQUIRE(commands.size() >= 11);
    for (const auto& command : commands) {
        const auto result = run_tplan({command, "--help"});
        INFO(command);
        CHECK(result.exit_code == 0);
        CHECK(result.out.find("Example: tplan ") != std::string::npos);
    }
}

TEST_CASE("bad input gets one line that says where, what and what to do") {
    const TempDir folder;
    const auto config = [&](const char* name, const std::string& text) {
        return folder.file(name, text);
    };
    expect_failure({"inspect", "qwen3-0.6"}, 2, {"qwen3-0.6b"});
    expect_failure({"inspect", folder / "absent.json"}, 2, {"absent.json"});
    expect_failure({"inspect", config("broken.json", R"({"model_type": "llama",)")}, 2,
                   {"broken.json", "line 1"});
    expect_failure(
        {"inspect", config("twice.json", R"({"model_type": "llama", "model_type": "llama"})")}, 2,
        {"duplicate", "model_type"});
    expect_failure({"inspect", config("type.json", R"({"model_type": "lama"})")}, 2,
                   {"model_type", "lama"});
    const auto base = load_json(resource_path("models/configs/llama-3.1-8b.json"));
    const auto llama = base.contains("config") ? base["config"] : base;
    const auto with = [&](const char* key, const Json& value) {
        auto changed = llama;
        changed[key] = value;
        return config("changed.json", json_text(changed));
    };
    expect_failure({"inspect", with("num_hidden_layers", 3.7)}, 2, {"num_hidden_layers"});
    expect_failure({"inspect", with("num_hidden_layers", 10001)}, 2, {"num_hidden_layers"});
    expect_failure({"inspect", with("hidden_size", true)}, 2, {"hidden_size"});
    expect_failure({"inspect", with("hidden_size", nullptr)}, 2, {"hidden_size"});
    expect_failure({"inspect", with("hidden_size", 0)}, 2, {"hidden_size"});
    expect_failure({"inspect", with("vocab_size", -5)}, 2, {"vocab_size"});
    expect_failure({"inspect", with("vocab_size", 5000000000)}, 2, {"vocab_size"});
    expect_failure({"inspect", with("hidden_act", "swish9")}, 2, {"hidden_act"});
    expect_failure({"plan", with("device_map", "auto"), "--hw", "h100-sxm", "--tp", "2"}, 2,
                   {"device_map"});
    expect_failure({"estimate", with("device_map", "auto"), "--hw", "h100-sxm", "--tp", "2",
                    "--tp-plan", config("by_hand.json", R"({"layers.*.mlp.up_proj": "colwise"})")},
                   2, {"device_map"});
    expect_failure({"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "2", "--context", "0"},
                   2, {"--context", "from 1 to"});
    expect_failure(
        {"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "2", "--memory-fraction", "1.5"},
        2, {"--memory-fraction"});
    expect_failure({"inspect", "gpt2", "--tp", "2"}, 1, {"gpt2", "no TP plan"});
    expect_failure({"inspect", "llama-3.1-8b", "--tp", "3"}, 1,
                   {"heads_not_divisible", "kv_heads_not_divisible", "degrees that work: 1 2 4 8"});
    expect_failure({"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "3", "--layout", "hf"},
                   1, {"heads_not_divisible", "degrees that work"});
    expect_failure({"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "16"}, 2, {"8"});
    expect_failure({"estimate", "llama-3.1-8b", "--hw", "h100-sxn", "--tp", "2"}, 2, {"h100-sxm"});
    expect_failure({"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "2", "--link", "nvlnk"},
                   2, {"nvlink"});
    expect_failure({"estimate", "llama-3.1-8b", "--hw", "l40s", "--tp", "2", "--link", "nvlink"}, 2,
                   {"pcie"});
    expect_failure({"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "zwei"}, 2, {"--tp"});
    expect_failure({"estimate", "llama-3.1-8b", "--hw", "h100-sxm"}, 2, {"--tp"});
    expect_failure(
        {"estimate", "llama-3.1-8b", "--hw", "h100-sxm", "--tp", "2", "--mesh", "dp_shard=2"}, 2,
        {"--mesh", "--phase train"});
    expect_failure({"frobnicate"}, 2, {"frobnicate"});
    expect_failure({"check", config("plan.json", R"({"schema": "tplan.plan/1"})")}, 2,
                   {"missing key"});
    expect_failure(
        {"plan", "qwen3-0.6b", "--hw", "h100-sxm", "--tp", "2", "-o", folder / "no/such/dir.json"},
        2, {"dir.json"});
}

TEST_CASE("a full disk leaves the existing file as it was") {
    // No file of this process may grow beyond a few KiB, as on a disk that has no more room.
    const TempDir folder;
    const auto path = folder.file("plan.json", "the plan of yesterday");
    const auto result =
        run_process({"sh", "-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"", TPLAN_PROGRAM,
                     "plan", "qwen3-0.6b", "--hw", "h100-sxm", "--tp", "2", "-o", path});
    INFO(result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.err.find("plan.json: cannot be written") != std::string::npos);
    CHECK(read_file(path, 1 << 20) == "the plan of yesterday");
    CHECK(folder.listing() == "plan.json");
}

TEST_CASE("a device that takes nothing is an error") {
    expect_failure({"plan", "qwen3-0.6b", "--hw", "h100-sxm", "--tp", "2", "-o", "/dev/full"}, 2,
                   {"/dev/full"});
}

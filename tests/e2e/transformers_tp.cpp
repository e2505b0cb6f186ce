// What `export --to hf` writes, in transformers itself: two processes against one.
#include <filesystem>
#include <functional>
#include <numeric>
#include <set>

#include "planner/check.h"
#include "tests/e2e/commands.h"
#include "tests/support/skip.h"
#include "tests/support/tiny_configs.h"

using namespace tplan;
using namespace tplan::test;

namespace {

/// What transformers_tp.py says of one rank.
struct Facts {
    std::string error;
    double difference = 0, largest = 0;
    Named<std::int64_t> collectives;
    Named<std::vector<std::int64_t>> shapes;
};

Facts facts_of(const Json& in, const std::string& where) {
    Facts facts;
    facts.error = in.at("error").get<std::string>();
    if (!facts.error.empty()) return facts;
    facts.difference = in.at("difference").get<double>();
    facts.largest = in.at("largest").get<double>();
    facts.collectives =
        from_json<Named<std::int64_t>>(in.at("collectives"), where + "/collectives");
    facts.shapes = from_json<Named<std::vector<std::int64_t>>>(in.at("shapes"), where + "/shapes");
    return facts;
}

/// A python3 with torch, transformers and accelerate; empty without one.
std::string python() {
    const auto* named = std::getenv("TPLAN_PYTHON");
    const std::string program = named && *named ? named : "python3";
    ProcessOptions options;
    options.limit = std::chrono::seconds{120};  // torch from a cold disk
    const auto tried = run_process(
        {"sh", "-c", "exec \"$0\" -c 'import torch, transformers, accelerate'", program}, options);
    return tried.exit_code == 0 ? program : std::string();
}

struct Job {
    std::string name, folder, exported;
    PlanDocument plan;
    bool trains = false;
};

/// Plans a configuration and exports it for a target, in a folder of its own.
Job make_job(const TempDir& root, const std::string& name, const Json& config,
             const std::vector<std::string>& flags, const std::string& target = "hf") {
    auto config_json = config;
    // Defaults of transformers lie beyond the tiny vocabulary.
    for (const auto* token : {"pad_token_id", "bos_token_id", "eos_token_id"})
        config_json[token] = 0;
    Job job{.name = name,
            .folder = root / name,
            .exported = {},
            .plan = {},
            .trains = target == "accelerate"};
    std::filesystem::create_directory(job.folder);
    job.exported = job.folder + "/load.py";
    const auto plan = job.folder + "/plan.json";
    write_file(job.folder + "/config.json", config_json.dump());
    std::vector<std::string> arguments = {
        "plan", job.folder + "/config.json", "--dtype", "fp32", "--kernels", "hf", "-o", plan};
    if (!job.trains) arguments.insert(arguments.end(), {"--tp", "2"});
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    for (const auto& command : {arguments, {"export", plan, "--to", target, "-o", job.exported}}) {
        const auto result = run_tplan(command);
        INFO(name + ": " + result.err);
        REQUIRE(result.exit_code == 0);
    }
    job.plan = read_plan(load_json(plan), plan);
    return job;
}

/// A width at which a split pays, and no more: the searched plan then has one.
Json wide_config(const std::string& family) {
    auto config = tiny_config(family);
    config["hidden_size"] = 512;
    config["num_attention_heads"] = 8;
    config["num_key_value_heads"] = 4;
    config["intermediate_size"] = family == "mixtral" ? 2048 : 8192;
    if (family == "mixtral") config["num_local_experts"] = 4;
    return config;
}

/// Every family that transformers splits: split heads, shared embeddings, norms of heads, sliding
/// layers, experts, packed weights, gathered projections, one fused projection, biases, latent
/// attention. Of the others tplan must say so.
std::vector<Job> make_jobs(const TempDir& root) {
    // No plan, an expert-parallel one only, norms that nothing cuts.
    const std::set<std::string> refused = {"falcon", "gpt2", "stablelm", "gpt_oss", "cohere"};
    std::vector<Job> jobs;
    for (const auto& family : tiny_families()) {
        const std::vector<std::string> flags = {"--hw",    "h100-sxm", "--layout", "hf",
                                                "--phase", "prefill",  "--input",  "16"};
        if (!refused.contains(family)) {
            jobs.push_back(make_job(root, family, tiny_config(family), flags));
            continue;
        }
        std::vector<std::string> arguments = {
            "plan", root.file("config.json", tiny_config(family).dump()), "--tp", "2"};
        arguments.insert(arguments.end(), flags.begin(), flags.end());
        expect_failure(arguments, 1, {"TP 2 does not work"});
    }
    // Searched ones: of the MLP alone, and by whole experts.
    for (const auto* family : {"llama", "mixtral"}) {
        jobs.push_back(make_job(root, std::string(family) + "_searched", wide_config(family),
                                {"--hw", "a100-sxm", "--context", "64"}));
    }
    return jobs;
}

/// What a rank's pieces are together: pieces differ in the offset of the dimension that is cut.
std::vector<std::int64_t> joined(const std::vector<ShardPiece>& pieces) {
    auto shape = pieces.at(0).shape;
    for (std::size_t i = 1; i < pieces.size(); ++i) {
        for (std::size_t d = 0; d < shape.size(); ++d) {
            if (pieces[i].offset[d] != pieces[0].offset[d]) shape[d] += pieces[i].shape[d];
        }
    }
    return shape;
}

std::int64_t runs_of(const Program& program, OpKind kind) {
    std::int64_t times = 0;
    for (const auto& section : program.sections) {
        const auto here = std::count_if(section.steps.begin(), section.steps.end(),
                                        [kind](const Step& step) { return step.kind == kind; });
        times += here * static_cast<std::int64_t>(section.layers.size());
    }
    return times;
}

template <class T>
const T* find_entry(const Named<T>& entries, const std::string& name) {
    for (const auto& entry : entries) {
        if (entry.first == name) return &entry.second;
    }
    return nullptr;
}

void check_rank(const Job& job, std::size_t rank, const Facts& facts) {
    INFO(fmt::format("{}, rank {}: {}", job.name, rank, facts.error));
    REQUIRE(facts.error.empty());
    // Sums of 64 to 8192 fp32 products in another order.
    CHECK(facts.difference <= 1e-5 * facts.largest);
    CHECK(facts.largest > 0.1);

    const auto times = [&](const char* kind) { return *find_entry(facts.collectives, kind); };
    CHECK(times("all_reduce") == runs_of(job.plan.program, OpKind::all_reduce));
    CHECK(times("all_gather") == runs_of(job.plan.program, OpKind::all_gather));
    CHECK(times("other") == 0);

    CHECK(facts.shapes.size() == job.plan.tensors.size());
    for (const auto& tensor : job.plan.tensors) {
        INFO(tensor.name);
        const auto* shape = find_entry(facts.shapes, tensor.name);
        REQUIRE(shape);
        CHECK(*shape == joined(tensor.shards.at(rank).pieces));
    }
}

/// Runs jobs in a number of processes; what each of them says by job and rank.
Json run_jobs(const TempDir& root, const std::vector<Job>& jobs, const std::string& python,
              std::size_t processes) {
    Json list = Json::array();
    for (const auto& job : jobs) {
        list.push_back({{"name", job.name},
                        {"folder", job.folder},
                        {"exported", job.exported},
                        {"trains", job.trains}});
    }
    const auto facts = root / "facts.json";
    ProcessOptions options;
    options.environment = {{"OMP_NUM_THREADS", "1"}};
    options.limit = std::chrono::seconds{600};
    const auto ran =
        run_process({python, "-m", "torch.distributed.run", "--nproc-per-node",
                     std::to_string(processes), TPLAN_ROOT "/tests/support/transformers_tp.py",
                     root.file("jobs.json", list.dump()), facts},
                    options);
    INFO(ran.err);
    REQUIRE(ran.exit_code == 0);
    auto found = load_json(facts).at("jobs");
    for (const auto& job : jobs) REQUIRE(found.at(job.name).size() == processes);
    return found;
}

constexpr auto kNoPython =
    "no python3 with torch, transformers and accelerate; `./dev test transformers` installs them "
    "below build/, TPLAN_PYTHON names one that has them";

}  // namespace

TEST_CASE("transformers takes exported plans: shapes, collectives and logits of two processes") {
    const auto program = python();
    if (program.empty()) return skip(kNoPython);
    const TempDir root;
    const auto jobs = make_jobs(root);
    const auto found = run_jobs(root, jobs, program, 2);
    for (const auto& job : jobs) {
        const auto& ranks = found.at(job.name);
        for (std::size_t rank = 0; rank < ranks.size(); ++rank)
            check_rank(job, rank, facts_of(ranks[rank], job.name));
    }
}

TEST_CASE("transformers trains on the exported mesh of TP and shards as on one process") {
    const auto program = python();
    if (program.empty()) return skip(kNoPython);
    const TempDir root;
    const std::vector<Job> jobs = {make_job(root, "llama_mesh", tiny_config("llama"),
                                            {"--hw", "h100-sxm", "--layout", "hf", "--phase",
                                             "train", "--seq", "12", "--mesh", "dp_shard=2,tp=2"},
                                            "accelerate")};
    const auto found = run_jobs(root, jobs, program, 4);
    for (std::size_t rank = 0; rank < 4; ++rank) {
        const auto facts = facts_of(found.at("llama_mesh")[rank], "llama_mesh");
        INFO(fmt::format("rank {}: {}", rank, facts.error));
        REQUIRE(facts.error.empty());
        CHECK(facts.largest > 1e-3);
        CHECK(facts.difference < 1e-2 * facts.largest);
        // Each of two shards of a TP rank's piece; processes are numbered TP first.
        for (const auto& tensor : jobs[0].plan.tensors) {
            INFO(tensor.name);
            const auto* shape = find_entry(facts.shapes, tensor.name);
            REQUIRE(shape);
            const auto piece = joined(tensor.shards.at(rank % 2).pieces);
            CHECK(
                2 * std::accumulate(shape->begin(), shape->end(), std::int64_t{1},
                                    std::multiplies<>()) ==
                std::accumulate(piece.begin(), piece.end(), std::int64_t{1}, std::multiplies<>()));
        }
    }
}

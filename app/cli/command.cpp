#include "app/cli/command.h"
#include "cost_model/mixed_hardware.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <limits>
#include <thread>

namespace tplan::cli {
namespace {

std::stop_source& stop_source() {
    static std::stop_source source;
    return source;
}

constexpr int kMostDegree = 4096;
constexpr int kMostInt = std::numeric_limits<int>::max();  // require_ranges() has the limits

volatile std::sig_atomic_t interrupt_seen = 0;

}  // namespace

int print(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() ||
        std::fflush(stdout) != 0) {
        throw Error("stdout", "cannot be written", "free some space or choose another output");
    }
    return 0;
}

int answer_no(const std::string& text) {
    fmt::print(stderr, "{}\n", text);
    return 1;
}

int answer_no(const Refusal& refusal, bool json) {
    if (json) print_json(refusal);
    return answer_no(refusal_text(refusal));
}

std::stop_token interrupted() {
    // The handler only sets a flag; a watcher thread turns it into a stop request, so that no lock
    // is taken in a signal.
    static std::jthread watcher([](std::stop_token end) {
        while (!end.stop_requested()) {
            if (interrupt_seen) stop_source().request_stop();
            ::usleep(50'000);
        }
    });
    static const bool installed = [] {
        std::signal(SIGINT, [](int) { interrupt_seen = 1; });
        std::signal(SIGTERM, [](int) { interrupt_seen = 1; });
        return true;
    }();
    (void)installed;
    return stop_source().get_token();
}

void show_progress(double done, const std::string& what) {
    constexpr int kWidth = 30;
    if (::isatty(STDERR_FILENO)) {
        const auto full = static_cast<int>(done * kWidth);
        fmt::print(stderr, "\r[{:<{}}] {:3.0f} % {:<40}",
                   std::string(static_cast<std::size_t>(full), '#'), kWidth, done * 100, what);
        if (done >= 1) fmt::print(stderr, "\n");
        return;
    }
    static int last_tenth = -1;
    const auto tenth = static_cast<int>(done * 10);
    if (tenth == last_tenth) return;
    last_tenth = tenth;
    fmt::print(stderr, "{:3.0f} % {}\n", done * 100, what);
}

std::vector<std::string> split_list(const std::string& text) {
    std::vector<std::string> items;
    std::size_t start = 0;
    while (start <= text.size() && !text.empty()) {
        const auto comma = std::min(text.find(',', start), text.size());
        items.push_back(text.substr(start, comma - start));
        start = comma + 1;
    }
    return items;
}

std::vector<int> parse_integers(const std::string& text, const std::string& flag, int most) {
    std::vector<int> numbers;
    for (const auto& item : split_list(text)) {
        int value = 0;
        const auto [end, error] = std::from_chars(item.data(), item.data() + item.size(), value);
        if (error == std::errc::result_out_of_range) {
            throw Error(flag, shown(item) + " is out of range",
                        fmt::format("give an integer from 1 to {}", most));
        }
        if (error != std::errc() || end != item.data() + item.size()) {
            throw Error(flag, fmt::format("\"{}\" is not an integer", shown(item)),
                        "give integers with commas, such as 1,2,4");
        }
        if (value < 1 || value > most) {
            throw Error(flag, fmt::format("{} is out of range", value),
                        fmt::format("give an integer from 1 to {}", most));
        }
        numbers.push_back(value);
    }
    if (numbers.empty()) throw Error(flag, "is empty", "give integers with commas, such as 1,2,4");
    return numbers;
}

std::vector<int> parse_degrees(const std::string& text, const std::string& flag) {
    return parse_integers(text, flag, kMostDegree);
}

std::vector<int> parse_batches(const std::string& text) {
    return parse_integers(text, "--batch", kMostInt);
}

void add_workload_flags(CLI::App& command, QueryFlags& flags) {
    command.add_option("--phase", flags.phase, "prefill, decode or train")->capture_default_str();
    command.add_option("--batch", flags.batch, "sequences")->capture_default_str();
    command.add_option("--input", flags.input, "prompt tokens per sequence (prefill)")
        ->capture_default_str();
    command.add_option("--context", flags.context, "tokens in the cache per sequence (decode)")
        ->capture_default_str();
    command.add_option("--dtype", flags.dtype, "bf16, fp16, fp32 or fp8 (default: the model's)");
    command.add_option("--kv-dtype", flags.kv_dtype, "of the KV cache (default: --dtype)");
    command.add_option("--quant", flags.quant, "fp8 activations: dynamic or static scales")
        ->capture_default_str();
    command
        .add_option("--kernels", flags.kernels,
                    "served (fused, as vLLM) or hf (one GEMM per module)")
        ->capture_default_str();
    command.add_option("--layout", flags.layout, "hf (transformers' plan) or best")
        ->capture_default_str();
    command.add_option("--collectives", flags.collectives,
                       "nccl, vllm, trtllm, cpu-shm or mpi (default: the backend's)");
    command
        .add_option("--sampling", flags.sampling,
                    "greedy, top-p or logits: what the head must gather")
        ->capture_default_str();
    command.add_option("--link", flags.link, "nvlink or pcie (default: the fastest the node has)");
    command.add_option("--nodes", flags.nodes, "nodes joined by the profile's network")
        ->capture_default_str();
    command.add_option("--tp-plan", flags.tp_plan,
                       "a plan by hand: JSON object of pattern to style");
    command
        .add_option("--transformers", flags.transformers, "5.16 or 5.10, where the verdict differs")
        ->capture_default_str();
    command
        .add_option("--memory-fraction", flags.memory_fraction,
                    "share of the memory the engine may use")
        ->capture_default_str();
    command.add_option("--reserve-bytes", flags.reserve_bytes, "bytes to keep free besides")
        ->capture_default_str();
    auto& training = flags.training;
    command.add_option("--mesh", training.mesh, "train: dp_replicate=A,dp_shard=B,tp=C (each 1)");
    command.add_option("--seq", training.seq, "train: tokens of a sequence (1024)");
    command.add_option("--accumulate", training.accumulate, "train: micro-batches a step (1)");
    command.add_option("--recompute", training.recompute, "train: none, selective or full (none)");
    command.add_option("--optimizer", training.optimizer, "train: adamw or sgd (adamw)");
    for (auto* option : command.get_options()) {
        const auto name = option->get_name();
        option->each([&flags, name](const std::string&) { flags.training.given.push_back(name); });
    }
}

void require_degree(const QueryFlags& flags) {
    const auto& given = flags.training.given;
    if (std::find(given.begin(), given.end(), "--tp") != given.end()) return;
    if (flags.training.mesh.empty() && !names_two_kinds(flags.hardware))
        throw Error("--tp", "is missing", "give --tp N; in training --mesh may give it");
}

Query make_query(const QueryFlags& flags) {
    Query query;
    query.model = flags.model;
    query.hardware = flags.hardware;
    query.degree_given =
        !names_two_kinds(flags.hardware) || std::ranges::count(flags.training.given, "--tp") > 0;
    query.tp_plan_file = flags.tp_plan;
    auto& request = query.request;
    const auto degrees = parse_degrees(flags.tp, "--tp");
    const auto batches = parse_batches(flags.batch);
    if (degrees.size() != 1)
        throw Error("--tp", "one degree was expected", "use `tplan sweep` for several");
    if (batches.size() != 1)
        throw Error("--batch", "one batch was expected", "use `tplan sweep` for several");
    request.plan.tp = degrees.front();
    request.plan.layout = parse_enum<LayoutChoice>(flags.layout, "--layout");
    request.plan.kernels = parse_enum<Kernels>(flags.kernels, "--kernels");
    request.plan.transformers = parse_enum<Transformers>(flags.transformers, "--transformers");
    request.cost.link = flags.link;
    request.cost.nodes = flags.nodes;
    if (!flags.collectives.empty()) {
        request.cost.collectives.value =
            parse_enum<CollectiveImpl>(flags.collectives, "--collectives");
    }
    if (flags.quant != "dynamic" && flags.quant != "static") {
        throw Error("--quant", "\"" + flags.quant + "\" is not one of dynamic, static",
                    did_you_mean(flags.quant, {"dynamic", "static"}));
    }
    request.cost.quant_dynamic = flags.quant == "dynamic";
    request.plan.sampling = parse_enum<Sampling>(flags.sampling, "--sampling");
    request.cost.memory_fraction = flags.memory_fraction;
    request.cost.reserve = Bytes(flags.reserve_bytes);
    request.workload.phase = parse_enum<Phase>(flags.phase, "--phase");
    request.workload.batch = batches.front();
    request.workload.input = flags.input;
    request.workload.context = flags.context;
    if (!flags.dtype.empty()) query.dtype = parse_enum<DType>(flags.dtype, "--dtype");
    if (!flags.kv_dtype.empty()) query.kv_dtype = parse_enum<DType>(flags.kv_dtype, "--kv-dtype");
    apply_training(query, flags.training);
    return query;
}

std::string flag_fault(const CLI::App& program, const CLI::ParseError& error) {
    const auto parsed = program.get_subcommands();
    const CLI::App& command = parsed.empty() ? program : *parsed.front();
    const auto name = parsed.empty() ? "tplan" : "tplan " + command.get_name();
    const std::string what = error.what();
    // The library says it as "...: --flag = value" and "...: --flag other".
    const auto said = what.substr(std::min(what.find(": ") + 2, what.size()));
    const auto flag = said.substr(0, said.find(' '));
    if (dynamic_cast<const CLI::ConversionError*>(&error)) {
        const auto value = said.substr(std::min(said.rfind(" = ") + 3, said.size()));
        const auto* option = command.get_option_no_throw(flag);
        const bool whole = option != nullptr && option->get_type_name().ends_with("INT");
        return fmt::format("{}: \"{}\" is not {}", flag, shown(value),
                           whole ? "an integer" : "a number");
    }
    if (dynamic_cast<const CLI::ExtrasError*>(&error)) {
        const auto dashes = (" " + said).find(" --");
        if (dashes == std::string::npos)
            return fmt::format("{}: {} takes no such argument; `{} --help` lists what it takes",
                               shown(flag), name, name);
        const auto word = said.substr(dashes + 2, said.find(' ', dashes) - dashes - 2);
        std::vector<std::string> known;
        for (const auto* option : command.get_options())
            known.insert(known.end(), option->get_lnames().begin(), option->get_lnames().end());
        auto near = did_you_mean(word, known);
        if (const auto quote = near.find('"'); quote != std::string::npos)
            near.insert(quote + 1, "--");
        return fmt::format(
            "--{}: {} takes no such flag; {}", shown(word), name,
            near.empty() ? fmt::format("`{} --help` lists what it takes", name) : near);
    }
    if (dynamic_cast<const CLI::ArgumentMismatch*>(&error)) {
        const bool lacking = what.ends_with("missing");
        return fmt::format("{} {}", what.substr(0, what.find(':')),
                           lacking ? "needs a value" : "is given more than once");
    }
    return fmt::format("{}; `{} --help` lists what it takes", shown(what, 160), name);
}

}  // namespace tplan::cli

// Ranks as processes: the same numbers as threads, and every way to die.
#include "executor/processes.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <set>

#include "executor/numerics.h"
#include "tests/support/catch.h"
#include "tests/unit/executor/tiny_run.h"

using namespace tplan;
using namespace tplan::test;

namespace {

const Workload kPrefill{.phase = Phase::prefill, .batch = 1, .input = 6};

/// Names below /dev/shm.
std::set<std::string> shared_objects() {
    std::set<std::string> names;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", ignored))
        names.insert(entry.path().string());
    return names;
}

bool has_children() {
    return ::waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD;
}

RankReport words(std::string payload) {
    return {false, {}, std::move(payload)};
}

/// What one rank does in a run with a fault: `hook` is called before each of its steps.
RankReport run_rank(const Program& program, World& world, RunOptions options) {
    try {
        options.world = &world;
        Runner runner(program, kPrefill, options);
        for (int i = 0; i < 3; ++i) runner.run();
        const auto values = runner.outputs().values;
        return words({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
    } catch (const std::exception& error) {
        return {true, error.what(), "saved by rank " + std::to_string(world.rank)};
    }
}

/// The failure that a run with this hook ends with.
ProcessFailure failure_of(const Program& program, double deadline_s,
                          const std::function<void(int rank, std::size_t step)>& hook) {
    RunOptions options;
    options.deadline_s = deadline_s;
    options.before_step = hook;
    try {
        run_processes(program.tp, [&](World& world) { return run_rank(program, world, options); },
                      {});
    } catch (const ProcessFailure& failure) {
        CHECK_FALSE(has_children());
        return failure;
    }
    throw Error("test", "the run did not fail");
}

}  // namespace

TEST_CASE("processes compute what threads compute, to the last bit", "[executor][processes]") {
    const TinyModel tiny("llama");
    const int degrees[] = {1, 2, 4};
    std::vector<std::string> got;  // of all before a thread starts: processes are forked
    for (const int tp : degrees) {
        const auto program = *tiny.program(tp);
        got.push_back(
            run_processes(tp, [&](World& world) { return run_rank(program, world, {}); }, {}));
    }
    CHECK_FALSE(has_children());
    for (std::size_t i = 0; i < got.size(); ++i) {
        Runner threads(*tiny.program(degrees[i]), kPrefill, {});
        threads.run();
        const auto expected = threads.outputs().values;
        REQUIRE(got[i].size() == expected.size() * sizeof(float));
        CHECK(std::memcmp(got[i].data(), expected.data(), got[i].size()) == 0);
    }
}

TEST_CASE("every process sees the times and the checks of all ranks", "[executor][processes]") {
    const TinyModel tiny("qwen3_moe");
    const auto program = *tiny.program(2);
    const auto text =
        run_processes(2,
                      [&](World& world) {
                          RunOptions options;
                          options.world = &world;
                          Runner runner(program, kPrefill, options);
                          const auto sample = runner.run();
                          bool all = sample.ranks.size() == 2 && runner.devices().size() == 2;
                          for (const auto& rank : sample.ranks)
                              all = all && rank.size() == runner.steps().size();
                          const auto checks = runner.check();
                          return words(all && checks.ranks_agree && checks.finite ? "all" : "some");
                      },
                      {});
    CHECK(text == "all");
}

TEST_CASE("NaN in one process's shard is reported to all", "[executor][processes]") {
    const TinyModel tiny("llama");
    const auto program = *tiny.program(2);
    const auto text = run_processes(
        2,
        [&](World& world) {
            RunOptions options;
            options.world = &world;
            options.weights = [good = synthetic_weights(1)](const WeightPart& part, float* out) {
                good(part, out);
                const bool hit = part.name.find("layers.1.mlp.gate_proj") != std::string::npos;
                if (hit && part.rows.offset > 0) out[0] = std::nanf("");
            };
            Runner runner(program, kPrefill, options);
            return words(runner.check().not_finite);
        },
        {});
    CHECK(text == "rank 1, layers.1.mlp.gate_up_proj");
}

TEST_CASE("a killed rank ends the others, and the message says which and where",
          "[executor][processes][fault]") {
    const auto before = shared_objects();
    const TinyModel tiny("llama");
    for (const int ranks : {2, 4}) {
        const auto program = *tiny.program(ranks);
        for (int culprit = 0; culprit < ranks; ++culprit) {
            for (const std::size_t step : {std::size_t{0}, std::size_t{7}}) {
                INFO(ranks << " ranks, rank " << culprit << " at step " << step);
                const auto start = std::chrono::steady_clock::now();
                const auto failure = failure_of(program, 30, [&](int rank, std::size_t at) {
                    if (rank == culprit && at == step) ::raise(SIGKILL);
                });
                const std::string what = failure.what();
                CHECK(what.find(fmt::format("rank {} ", culprit)) != std::string::npos);
                CHECK(what.find("killed by signal 9") != std::string::npos);
                // the step before is the last that its trail has
                CHECK(what.find(step == 0 ? "no step yet" : "step #6, ") != std::string::npos);
                for (int r = 0; r < ranks; ++r) {
                    const auto& report = failure.reports[static_cast<std::size_t>(r)];
                    CHECK(report.failed == (r != culprit));
                    if (r != culprit) CHECK(report.payload == fmt::format("saved by rank {}", r));
                }
                CHECK(failure.trails.size() == static_cast<std::size_t>(ranks));
                // far below the deadline: nobody waited for it
                CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(25));
            }
        }
    }
    CHECK(shared_objects() == before);
}

TEST_CASE("a stopped rank is missed at the deadline and ended", "[executor][processes][fault]") {
    const TinyModel tiny("llama");
    const auto failure = failure_of(*tiny.program(2), 0.5, [](int rank, std::size_t step) {
        if (rank == 1 && step == 4) ::raise(SIGSTOP);
    });
    const std::string what = failure.what();
    CHECK(what.find("rank 0: all_reduce #") != std::string::npos);
    CHECK(what.find("rank 1 has not arrived for 500 ms") != std::string::npos);
    CHECK(failure.reports[0].failed);
    CHECK(failure.reports[1].payload.empty());
    const auto& last = failure.trails[1].steps.back();
    CHECK(last.index == 3);
}

TEST_CASE("a rank that stops while it is waited for patiently is missed by its silence",
          "[executor][processes][fault]") {
    try {
        run_processes(2,
                      [](World& world) {
                          try {
                              const auto backend = make_backend("cpu", 2, &world);
                              if (world.rank == 1) ::raise(SIGSTOP);
                              backend->on_ranks([&](int rank) {
                                  backend->communicator(rank).set_deadline(0.5);
                                  backend->communicator(rank).barrier({"for ever", 0}, true);
                              });
                              return words("met");
                          } catch (const Error& error) {
                              return RankReport{true, error.what(), {}};
                          }
                      },
                      {});
        FAIL("they met");
    } catch (const ProcessFailure& failure) {
        CHECK_THAT(failure.what(), Catch::Contains("rank 1 has not arrived"));
    }
    CHECK_FALSE(has_children());
}

TEST_CASE("a rank that is busy elsewhere may be waited for beyond the deadline",
          "[executor][processes]") {
    const auto text = run_processes(
        2,
        [](World& world) {
            const auto backend = make_backend("cpu", 2, &world);
            if (world.rank == 1) {
                const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(600);
                while (std::chrono::steady_clock::now() < end) ::usleep(1000);
            }
            backend->on_ranks([&](int rank) {
                backend->communicator(rank).set_deadline(0.3);
                backend->communicator(rank).barrier({"patience", 0}, true);
            });
            return words("met");
        },
        {});
    CHECK(text == "met");
}

TEST_CASE("a rank that throws is quoted, and the others say that they were aborted",
          "[executor][processes][fault]") {
    const TinyModel tiny("llama");
    const auto failure = failure_of(*tiny.program(4), 30, [](int rank, std::size_t step) {
        if (rank == 2 && step == 5) throw Error("rank 2", "power failure");
    });
    CHECK_THAT(failure.what(), Catch::Contains("power failure"));
    CHECK_THAT(failure.reports[0].error, Catch::Contains("aborted"));
    CHECK_THAT(failure.reports[2].error, Catch::Contains("power failure"));
}

TEST_CASE("ranks that disagree on a collective's size say so instead of mixing numbers",
          "[executor][processes][fault]") {
    try {
        run_processes(
            2,
            [](World& world) {
                try {
                    const auto backend = make_backend("cpu", 2, &world);
                    backend->on_ranks([&](int rank) {
                        const std::int64_t width = rank == 0 ? 100 : 101;
                        auto* const data = backend->allocate_exchanged(rank, 4096);
                        const Matrix m{data, 1, width, width, DType::fp32};
                        backend->communicator(rank).all_reduce(m, m, {"layers.3.mlp", 17});
                    });
                    return words("summed");
                } catch (const Error& error) {
                    return RankReport{true, error.what(), {}};
                }
            },
            {});
        FAIL("they summed");
    } catch (const ProcessFailure& failure) {
        CHECK_THAT(failure.what(), Catch::Contains("all_reduce #17 \"layers.3.mlp\"") &&
                                       Catch::Contains("1 x 100") && Catch::Contains("1 x 101"));
    }
}

TEST_CASE("a stop request ends all processes", "[executor][processes]") {
    std::stop_source stop;
    stop.request_stop();
    const TinyModel tiny("llama");
    const auto program = *tiny.program(2);
    CHECK_THROWS_WITH(run_processes(
                          2,
                          [&](World& world) {
                              RunOptions options;
                              options.before_step = [](int, std::size_t) { ::usleep(20'000); };
                              return run_rank(program, world, options);
                          },
                          stop.get_token()),
                      Catch::Contains("stopped on request"));
    CHECK_FALSE(has_children());
}

TEST_CASE("long reports and the words of all ranks arrive whole", "[executor][processes]") {
    const auto text = run_processes(
        3,
        [](World& world) {
            const auto backend = make_backend("cpu", 3, &world);
            std::string joined;
            backend->on_ranks([&](int rank) {
                auto& group = backend->communicator(rank);
                const auto length = static_cast<std::size_t>(rank == 0 ? 0 : rank * 100'000);
                for (const auto& part :
                     group.exchange(std::string(length, static_cast<char>('a' + rank)), {"x", 0}))
                    joined += part;
            });
            return words(joined);
        },
        {});
    CHECK(text == std::string(100'000, 'b') + std::string(200'000, 'c'));
}

// All-reduce of small messages over memory that the devices of all ranks read, without NCCL.
//
// Every rank has an area: flags, and two places for a message, used in turn. A call copies the
// rank's input to its place, tells the others, waits for them, and reads theirs. Blocks of one
// number work on the same elements on every rank, so that only they wait for each other. A place is
// written again two calls later; by then every other rank has begun the call between, whose flags
// this rank has waited for, and so has ended the one that read the place: no second meeting.
#include <algorithm>

#include "executor/cuda/context.h"
#include "executor/cuda/launch.cuh"
#include "executor/cuda/peer_flags.cuh"

namespace tplan::cuda {
namespace {

constexpr int kRanks = TPLAN_PEER_RANKS;
constexpr int kThreads = 512, kMostBlocks = 36;  // as vLLM's: more do not fill the links better
constexpr int kSharedBlocks = 32;  // of all ranks that share a device: all must run at once
constexpr int kLooks = 256;        // at a flag, between two at the host's word over PCIe

/// In front of the places of an area. All zero before the first call.
struct Flags {
    std::uint32_t calls[kMostBlocks];  // that the block has ended; the own rank's alone
    std::uint32_t arrived[2][kMostBlocks][kRanks];  // the last call in which that rank got here
};
constexpr std::size_t kFlagBytes = (sizeof(Flags) + 255) / 256 * 256;

/// What is read at once.
template <class T>
struct alignas(16) Vector {
    static constexpr int kSize = 16 / sizeof(T);
    T values[kSize];
};

/// A message of `count` elements of which `data` holds that many, 16 bytes at a time.
template <class T>
__device__ Vector<T> read(const T* data, std::int64_t count, std::int64_t v) {
    using V = Vector<T>;
    if (reinterpret_cast<std::uintptr_t>(data) % sizeof(V) == 0 && (v + 1) * V::kSize <= count)
        return reinterpret_cast<const V*>(data)[v];
    V vector;
    for (int i = 0; i < V::kSize; ++i) {
        const auto at = v * V::kSize + i;
        vector.values[i] = at < count ? data[at] : from_float<T>(0);
    }
    return vector;
}

template <class T>
__device__ void write(T* data, std::int64_t count, std::int64_t v, const Vector<T>& vector) {
    using V = Vector<T>;
    if (reinterpret_cast<std::uintptr_t>(data) % sizeof(V) == 0 && (v + 1) * V::kSize <= count) {
        reinterpret_cast<V*>(data)[v] = vector;
        return;
    }
    for (int i = 0; i < V::kSize; ++i) {
        const auto at = v * V::kSize + i;
        if (at < count) data[at] = vector.values[i];
    }
}

/// The call as a rank's blocks see it.
struct Call {
    const tplan_peer_sum& sum;
    int rank;
    std::uint32_t number;  // from 1, the same on every rank

    __device__ Flags& flags(int of) const { return *static_cast<Flags*>(sum.areas[of]); }
    template <class T>
    __device__ Vector<T>* place(int of) const {
        auto* const area = static_cast<unsigned char*>(sum.areas[of]);
        return reinterpret_cast<Vector<T>*>(area + kFlagBytes + number % 2 * sum.capacity);
    }
};

/// Returns when the blocks of this number have got here on every rank, or the host says to stop.
__device__ void meet(const Call& call, int time) {
    __syncthreads();  // what the threads of the block wrote is before its flag
    const int peer = threadIdx.x;
    if (peer < call.sum.ranks) {
        store_release(&call.flags(peer).arrived[time][blockIdx.x][call.rank], call.number);
        const auto* const theirs = &call.flags(call.rank).arrived[time][blockIdx.x][peer];
        // A faster rank may be in the next call already; numbers may wrap.
        for (int looks = 1; static_cast<std::int32_t>(load_acquire(theirs) - call.number) < 0;
             ++looks) {
            if (looks % kLooks == 0 && load_acquire(call.sum.abort) != 0) break;
            pause();
        }
    }
    __syncthreads();
}

/// The sum of the ranks' vectors at one place. All are asked for before the first is there.
template <class T>
__device__ Vector<T> total(const Call& call, std::int64_t v) {
    Vector<T> theirs[kRanks];
#pragma unroll
    for (int r = 0; r < kRanks; ++r) {
        if (r < call.sum.ranks) theirs[r] = call.place<T>(r)[v];
    }
    Vector<T> vector;
#pragma unroll
    for (int i = 0; i < Vector<T>::kSize; ++i) {
        float sum = to_float(theirs[0].values[i]);
#pragma unroll
        for (int r = 1; r < kRanks; ++r) {
            if (r < call.sum.ranks) sum += to_float(theirs[r].values[i]);
        }
        vector.values[i] = from_float<T>(sum);
    }
    return vector;
}

/// Vectors of the message, cut into one part or one for each rank: those of every part.
template <class T>
std::int64_t __host__ __device__ part_of_message(const tplan_peer_sum& sum) {
    const auto vectors = (sum.count + Vector<T>::kSize - 1) / Vector<T>::kSize;
    return sum.two_shot != 0 ? (vectors + sum.ranks - 1) / sum.ranks : vectors;
}

/// blockIdx.y: the rank, among the joined.
template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    peer_sum(const __grid_constant__ tplan_peer_sum sum) {
    const int rank = sum.first + blockIdx.y;
    Call call{sum, rank, 0};
    call.number = call.flags(rank).calls[blockIdx.x] + 1;
    const auto* const in = static_cast<const T*>(sum.in[blockIdx.y]);
    auto* const out = static_cast<T*>(sum.out[blockIdx.y]);
    const auto part = part_of_message<T>(sum);
    const auto vectors = (sum.count + Vector<T>::kSize - 1) / Vector<T>::kSize;
    const auto first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const auto step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
    const int parts = sum.two_shot != 0 ? sum.ranks : 1;

    // The thread that moves an element of one part moves it of every part.
    for (int p = 0; p < parts; ++p) {
        for (auto i = first; i < part; i += step) {
            const auto v = p * part + i;
            if (v < vectors) call.place<T>(rank)[v] = read(in, sum.count, v);
        }
    }
    meet(call, 0);
    if (sum.two_shot == 0) {
#pragma unroll 1
        for (auto i = first; i < part; i += step) write(out, sum.count, i, total<T>(call, i));
    } else {
        // The own part of the own place is read by nobody else before the second meeting.
#pragma unroll 1
        for (auto i = first; i < part; i += step) {
            const auto v = rank * part + i;
            if (v < vectors) call.place<T>(rank)[v] = total<T>(call, v);
        }
        meet(call, 1);
        for (int p = 0; p < parts; ++p) {
            for (auto i = first; i < part; i += step) {
                const auto v = p * part + i;
                if (v < vectors) write(out, sum.count, v, call.place<T>(p)[v]);
            }
        }
    }

    // Blocks that this call did not need count it too: a place belongs to a call of all blocks.
    auto& calls = call.flags(rank).calls;
    if (threadIdx.x == 0) calls[blockIdx.x] = call.number;
    if (blockIdx.x > 0) return;
    for (int b = gridDim.x + threadIdx.x; b < kMostBlocks; b += blockDim.x) calls[b] = call.number;
}

template <class T>
void launch_typed(Context& context, const tplan_peer_sum& sum) {
    const auto part = part_of_message<T>(sum);
    const auto threads =
        static_cast<unsigned>(std::clamp<std::int64_t>((part + 31) / 32 * 32, 32, kThreads));
    const int most = sum.joined == 1 ? kMostBlocks : kSharedBlocks / sum.joined;
    const auto blocks =
        static_cast<unsigned>(std::clamp<std::int64_t>((part + threads - 1) / threads, 1, most));
    run_together(peer_sum<T>, dim3(blocks, static_cast<unsigned>(sum.joined)), threads,
                 context.stream, sum);
}

}  // namespace

std::size_t peer_area_bytes(std::size_t capacity) {
    return kFlagBytes + 2 * capacity;
}

const char* launch_peer_sum(Context& context, const tplan_peer_sum& sum) {
    if (sum.ranks < 2 || sum.ranks > kRanks) return failed("a sum over peers joins 2 to 8 ranks");
    if (sum.joined != 1 && sum.joined != sum.ranks)
        return failed("a sum over peers is launched for one rank or for all");
    // A part of a rank ends on a vector, and parts beyond the message are none.
    if (static_cast<std::size_t>(sum.count) * bytes_of_dtype(sum.dtype) > sum.capacity)
        return failed("a message larger than the area of its ranks");
    const bool known =
        with_type(sum.dtype, [&](auto type) { launch_typed<decltype(type)>(context, sum); });
    if (!known) return failed("sums over peers are of fp32, fp16 or bf16");
    return checked(cudaGetLastError(), "a sum over peers");
}

}  // namespace tplan::cuda

// AXI4 subordinate that serves one manager from a block of host memory.
//
// Latency counts cycles from the one in which a read address is accepted to the one in which its
// first beat is valid, and from the last write beat to its response. Each direction transfers
// `bytes_per_cycle` on average, both together when `shared`, at most one beat per cycle each.

#pragma once

#include <cstdint>
#include <cstring>
#include <deque>

struct DramOptions {
    uint64_t base;        // bus address of the first byte
    uint64_t size;        // bytes, a multiple of the bus width
    uint64_t latency;     // cycles, at least 1
    double bytes_per_cycle;
    uint32_t shared;      // reads and writes share bytes_per_cycle
    uint32_t stall_seed;  // non-zero: hold back a quarter of all handshakes at random
};

enum ProtocolError : uint32_t {
    PROTOCOL_OK = 0,
    CROSSES_4K = 1,       // a burst crosses a 4 KiB boundary
    WRONG_LAST = 2,       // `last` is not on the last beat of a write burst
    UNSTABLE = 3,         // a channel changed or dropped its payload while it waited
};

enum Response : uint32_t { OKAY = 0, DECODE_ERROR = 3 };

template <unsigned BUS_BYTES>
class Dram {
public:
    struct Burst { uint64_t address; unsigned length; };
    struct WriteBeat { const uint8_t* data; uint64_t strobe; bool last; };

    Dram(const DramOptions& options, uint8_t* memory)
        : options_(options), memory_(memory), random_(options.stall_seed) {}

    // What the subordinate drives in this cycle, decided before the manager's outputs are known.
    bool ar_ready, aw_ready, w_ready, r_valid = false, b_valid = false;
    uint8_t r_data[BUS_BYTES];
    uint32_t r_response, b_response;
    bool r_last;

    uint64_t bytes_read = 0, bytes_written = 0;
    ProtocolError error = PROTOCOL_OK;

    void begin_cycle() {
        earn();
        ar_ready = reads_.size() < MAX_BURSTS && !held_back();
        aw_ready = writes_.size() < MAX_BURSTS && !held_back();
        w_ready = !writes_.empty() && affordable(write_credit()) && !held_back();
        if (!r_valid && !reads_.empty() && reads_.front().due <= now_
            && affordable(read_credit_) && !held_back())
            offer_read();
        if (!b_valid && !responses_.empty() && responses_.front().due <= now_ && !held_back()) {
            b_valid = true;
            b_response = responses_.front().response;
        }
    }

    void accept_read(const Burst& burst) {
        check(burst);
        reads_.push_back({burst, now_ + options_.latency, 0});
    }

    void accept_write(const Burst& burst) {
        check(burst);
        writes_.push_back({burst, 0, 0, OKAY});
    }

    void accept_beat(const WriteBeat& beat) {
        Pending& write = writes_.front();
        const uint64_t offset = beat_offset(write);
        if (inside(offset)) store(offset, beat);
        else write.response = DECODE_ERROR;
        write_credit() -= BUS_BYTES;
        const bool last = write.beat++ == write.burst.length;
        if (last != beat.last) error = WRONG_LAST;
        if (!last) return;
        responses_.push_back({{}, now_ + options_.latency, 0, write.response});
        writes_.pop_front();
    }

    void read_taken() {
        r_valid = false;
        if (r_last) reads_.pop_front();
    }

    void response_taken() {
        b_valid = false;
        responses_.pop_front();
    }

    void end_cycle() { now_++; }

private:
    static constexpr unsigned MAX_BURSTS = 64;

    struct Pending { Burst burst; uint64_t due; unsigned beat; uint32_t response = OKAY; };

    DramOptions options_;
    uint8_t* memory_;
    uint32_t random_;
    uint64_t now_ = 0;
    double read_credit_ = 0, write_credit_ = 0;
    std::deque<Pending> reads_, writes_, responses_;

    double& write_credit() { return options_.shared ? read_credit_ : write_credit_; }

    static bool affordable(double credit) { return credit >= BUS_BYTES; }

    void earn() {
        for (double* credit : {&read_credit_, &write_credit_})
            if (*credit < BUS_BYTES) *credit += options_.bytes_per_cycle;
    }

    bool held_back() {
        if (!random_) return false;
        random_ ^= random_ << 13;
        random_ ^= random_ >> 17;
        random_ ^= random_ << 5;
        return (random_ & 3) == 0;
    }

    uint64_t beat_offset(const Pending& pending) const {
        const uint64_t aligned = pending.burst.address & ~uint64_t(BUS_BYTES - 1);
        return aligned + uint64_t(pending.beat) * BUS_BYTES - options_.base;
    }

    bool inside(uint64_t offset) const { return offset < options_.size; }

    void check(const Burst& burst) {
        const uint64_t last = (burst.address & ~uint64_t(BUS_BYTES - 1))
            + uint64_t(burst.length) * BUS_BYTES;
        if (burst.address >> 12 != last >> 12) error = CROSSES_4K;
    }

    void offer_read() {
        Pending& read = reads_.front();
        const uint64_t offset = beat_offset(read);
        r_response = inside(offset) ? OKAY : DECODE_ERROR;
        if (inside(offset)) std::memcpy(r_data, memory_ + offset, BUS_BYTES);
        else std::memset(r_data, 0, BUS_BYTES);
        r_last = read.beat++ == read.burst.length;
        r_valid = true;
        read_credit_ -= BUS_BYTES;
        bytes_read += BUS_BYTES;
    }

    void store(uint64_t offset, const WriteBeat& beat) {
        for (unsigned lane = 0; lane < BUS_BYTES; lane++)
            if (beat.strobe >> lane & 1) {
                memory_[offset + lane] = beat.data[lane];
                bytes_written++;
            }
    }
};

// Names and bit positions of the machine's ports, as Amaranth and Verilator spell them.
//
// A structured payload is one vector whose first field is in the lowest bits. Verilator stores
// any vector little-endian in whole 32-bit words (or in one smaller integer), so fields are copied.

#pragma once

#include <cstdint>
#include <cstring>

#include "Vtop.h"
#include "dram.h"

#define PORT2(a, b) a##___05F##b
#define PORT3(a, b, c) a##___05F##b##___05F##c

template <typename Vector>
uint32_t word_of(const Vector& vector, unsigned index) {
    uint32_t words[(sizeof(Vector) + 3) / 4] = {};
    std::memcpy(words, &vector, sizeof(Vector));
    return words[index];
}

// A channel driven by the machine. It must hold a payload until it is taken.
template <typename Vector>
class Channel {
public:
    bool taken(bool valid, bool ready, const Vector& payload, ProtocolError& error) {
        if (waiting_ && (!valid || std::memcmp(&held_, &payload, sizeof(Vector)))) error = UNSTABLE;
        waiting_ = valid && !ready;
        if (waiting_) held_ = payload;
        return valid && ready;
    }

private:
    bool waiting_ = false;
    Vector held_;
};

template <unsigned BUS_BYTES>
class MemoryPort {
public:
    explicit MemoryPort(Vtop& top) : top_(top) {}

    void drive(const Dram<BUS_BYTES>& dram) {
        top_.PORT3(read, ar, ready) = dram.ar_ready;
        top_.PORT3(write, aw, ready) = dram.aw_ready;
        top_.PORT3(write, w, ready) = dram.w_ready;
        top_.PORT3(read, r, valid) = dram.r_valid;
        top_.PORT3(write, b, valid) = dram.b_valid;
        if (dram.b_valid) top_.PORT3(write, b, payload) = dram.b_response;
        if (!dram.r_valid) return;
        uint8_t beat[BUS_BYTES + 4] = {};
        std::memcpy(beat, dram.r_data, BUS_BYTES);
        beat[BUS_BYTES] = uint8_t(dram.r_response | dram.r_last << 2);
        std::memcpy(&top_.PORT3(read, r, payload), beat, sizeof(beat));
    }

    void collect(Dram<BUS_BYTES>& dram) {
        if (dram.r_valid && top_.PORT3(read, r, ready)) dram.read_taken();
        if (dram.b_valid && top_.PORT3(write, b, ready)) dram.response_taken();
        const auto& ar = top_.PORT3(read, ar, payload);
        if (ar_.taken(top_.PORT3(read, ar, valid), dram.ar_ready, ar, dram.error))
            dram.accept_read(burst(ar));
        const auto& aw = top_.PORT3(write, aw, payload);
        const auto& w = top_.PORT3(write, w, payload);
        if (w_.taken(top_.PORT3(write, w, valid), dram.w_ready, w, dram.error)) accept(w, dram);
        if (aw_.taken(top_.PORT3(write, aw, valid), dram.aw_ready, aw, dram.error))
            dram.accept_write(burst(aw));
    }

private:
    template <typename Vector>
    static typename Dram<BUS_BYTES>::Burst burst(const Vector& payload) {
        const uint64_t high = word_of(payload, 1);
        return {high << 32 | word_of(payload, 0), word_of(payload, 2) & 0xFF};
    }

    template <typename Vector>
    static void accept(const Vector& payload, Dram<BUS_BYTES>& dram) {
        uint8_t beat[sizeof(Vector)];
        std::memcpy(beat, &payload, sizeof(Vector));
        constexpr unsigned last_bit = 9 * BUS_BYTES;
        const bool last = beat[last_bit / 8] >> last_bit % 8 & 1;
        uint64_t strobe = 0;
        std::memcpy(&strobe, beat + BUS_BYTES, (BUS_BYTES + 7) / 8);
        dram.accept_beat({beat, strobe, last});
    }

    template <typename T> struct Plain { using type = T; };
    template <typename T> struct Plain<T&> { using type = T; };
    using Address = typename Plain<decltype(Vtop::PORT3(read, ar, payload))>::type;
    using WriteBeat = typename Plain<decltype(Vtop::PORT3(write, w, payload))>::type;

    Vtop& top_;
    Channel<Address> ar_, aw_;
    Channel<WriteBeat> w_;
};

struct HostHandshakes {
    bool aw, w, b, ar, r;
    uint32_t data, response;
};

// AXI4-Lite manager for the host registers: one access at a time.
class HostPort {
public:
    explicit HostPort(Vtop& top) : top_(top) {}

    void drive_write(uint32_t address, uint32_t data, bool address_valid, bool data_valid) {
        top_.PORT3(host, aw, valid) = address_valid;
        top_.PORT3(host, aw, payload) = address;
        top_.PORT3(host, w, valid) = data_valid;
        top_.PORT3(host, w, payload) = data | uint64_t(0xF) << 32;
        top_.PORT3(host, b, ready) = 1;
    }

    void drive_read(uint32_t address, bool address_valid) {
        top_.PORT3(host, ar, valid) = address_valid;
        top_.PORT3(host, ar, payload) = address;
        top_.PORT3(host, r, ready) = 1;
    }

    HostHandshakes handshakes() const {
        const auto& r = top_.PORT3(host, r, payload);
        HostHandshakes seen{};
        seen.aw = top_.PORT3(host, aw, valid) && top_.PORT3(host, aw, ready);
        seen.w = top_.PORT3(host, w, valid) && top_.PORT3(host, w, ready);
        seen.ar = top_.PORT3(host, ar, valid) && top_.PORT3(host, ar, ready);
        seen.b = top_.PORT3(host, b, valid) && top_.PORT3(host, b, ready);
        seen.r = top_.PORT3(host, r, valid) && top_.PORT3(host, r, ready);
        seen.data = word_of(r, 0);
        seen.response = seen.r ? word_of(r, 1) & 3 : top_.PORT3(host, b, payload) & 3;
        return seen;
    }

private:
    Vtop& top_;
};

// The whole machine with its DRAM, driven through a C interface by `sim/rtl.py`.
//
// Compiled with MACHINE_BUS_BYTES, MACHINE_RECORD and VM_TRACE* defined. A cycle is: decide what
// the memory drives, settle with the clock low, look at the handshakes, raise the clock.

#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>

#include "Vtop.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
#elif VM_TRACE_VCD
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
#endif

#include "dram.h"
#include "ports.h"
#include "recorder.h"

struct Statistics {
    uint64_t cycles, bytes_read, bytes_written;
    double seconds, seconds_evaluating;  // the second one only when profiling
};

enum Status : uint32_t { INTERRUPT = 0, LIMIT = 1, PROTOCOL = 2, BUS_ERROR = 3 };

class Machine {
public:
    Machine(const DramOptions& options, uint8_t* memory, const char* waveform, bool profile)
        : profile_(profile), dram_(options, memory) {
#if VM_TRACE
        context_.traceEverOn(true);
        top_.trace(&trace_, 99);
        trace_.open(waveform);
#endif
        (void)waveform;
        top_.rst = 1;
        for (int i = 0; i < 4; i++) cycle();
        top_.rst = 0;
    }

    ~Machine() {
        top_.final();
#if VM_TRACE
        trace_.close();
#endif
    }

    Status run(uint64_t max_cycles) {
        const auto begin = Clock::now();
        Status status = LIMIT;
        for (uint64_t i = 0; i < max_cycles; i++) {
            cycle();
            if (dram_.error) { status = PROTOCOL; break; }
            if (top_.__SYM__interrupt) { status = INTERRUPT; break; }
        }
        statistics_.seconds += seconds_since(begin);
        return status;
    }

    Status write_register(uint32_t address, uint32_t value) {
        bool address_done = false, data_done = false;
        for (int i = 0; i < HOST_TIMEOUT; i++) {
            host_.drive_write(address, value, !address_done, !data_done);
            const HostHandshakes seen = cycle();
            address_done |= seen.aw;
            data_done |= seen.w;
            if (seen.b) {
                host_.drive_write(0, 0, false, false);
                return seen.response ? BUS_ERROR : INTERRUPT;
            }
        }
        return LIMIT;
    }

    Status read_register(uint32_t address, uint32_t* value) {
        bool address_done = false;
        for (int i = 0; i < HOST_TIMEOUT; i++) {
            host_.drive_read(address, !address_done);
            const HostHandshakes seen = cycle();
            address_done |= seen.ar;
            if (seen.r) {
                host_.drive_read(0, false);
                *value = seen.data;
                return seen.response ? BUS_ERROR : INTERRUPT;
            }
        }
        return LIMIT;
    }

    void statistics(Statistics* out) const {
        *out = statistics_;
        out->bytes_read = dram_.bytes_read;
        out->bytes_written = dram_.bytes_written;
    }

    uint32_t protocol_error() const { return dram_.error; }

#if MACHINE_RECORD
    const Event* events(uint64_t* count) const { return recorder_.events(count); }
#endif

private:
    using Clock = std::chrono::steady_clock;
    static constexpr int HOST_TIMEOUT = 1000;

    bool profile_;
    VerilatedContext context_;
    Vtop top_{&context_};
    Dram<MACHINE_BUS_BYTES> dram_;
    HostPort host_{top_};
    MemoryPort<MACHINE_BUS_BYTES> memory_port_{top_};
    Statistics statistics_{};
#if VM_TRACE
    Trace trace_;
#endif
#if MACHINE_RECORD
    Recorder recorder_;
#endif

    static double seconds_since(Clock::time_point begin) {
        return std::chrono::duration<double>(Clock::now() - begin).count();
    }

    HostHandshakes cycle() {
        dram_.begin_cycle();
        memory_port_.drive(dram_);
        top_.clk = 0;
        evaluate();
        const HostHandshakes seen = host_.handshakes();
        memory_port_.collect(dram_);
#if MACHINE_RECORD
        recorder_.sample(top_);
#endif
        top_.clk = 1;
        evaluate();
        dram_.end_cycle();
        statistics_.cycles++;
        return seen;
    }

    void evaluate() {
        if (profile_) {
            const auto begin = Clock::now();
            top_.eval();
            statistics_.seconds_evaluating += seconds_since(begin);
        } else {
            top_.eval();
        }
#if VM_TRACE
        trace_.dump(context_.time());
        context_.timeInc(1);
#endif
    }
};

extern "C" {
Machine* machine_new(const DramOptions* options, uint8_t* memory, const char* waveform,
                     uint32_t profile) {
    return new Machine(*options, memory, waveform, profile);
}
void machine_delete(Machine* machine) { delete machine; }
uint32_t machine_run(Machine* machine, uint64_t max_cycles) { return machine->run(max_cycles); }
uint32_t machine_write(Machine* machine, uint32_t address, uint32_t value) {
    return machine->write_register(address, value);
}
uint32_t machine_read(Machine* machine, uint32_t address, uint32_t* value) {
    return machine->read_register(address, value);
}
void machine_statistics(const Machine* machine, Statistics* out) { machine->statistics(out); }
uint32_t machine_protocol_error(const Machine* machine) { return machine->protocol_error(); }
#if MACHINE_RECORD
const Event* machine_events(const Machine* machine, uint64_t* count) {
    return machine->events(count);
}
#endif
}

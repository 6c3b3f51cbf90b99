// What the engines do, noted cycle by cycle: activities, dispatched commands, commands taken from
// a queue, commands finished. Compiled in only with MACHINE_RECORD; `sim/recorder.py` makes the
// signals it reads visible and reads what it notes.

#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#if MACHINE_RECORD

#include "Vtop___024root.h"

struct Event {
    uint32_t cycle;
    uint32_t value;  // of ACTIVITY the code, of DISPATCHED the instruction's index
    uint8_t engine, kind;
    uint16_t unused;
};

class Recorder {
public:
    // To be called once a cycle with all signals settled; counts as the activity counters do.
    void sample(const Vtop& top) {
        const auto& r = *top.rootp;
        const bool running = r.top__DOT__host__DOT__counters__DOT__running;
        if (running && !running_) begin();
        running_ = running;
        if (!running) return;
        const uint32_t pc = r.top__DOT__sequencer__DOT__pc;
        activity(0, r.top__DOT__sequencer__DOT__activity);
#define QUEUE(engine, signal) r.top__DOT__##engine##_queue__DOT__##signal
#define SAMPLE(number, engine)                                                                 \
        activity(number, QUEUE(engine, activity));                                             \
        if (QUEUE(engine, input___05Fvalid) && QUEUE(engine, input___05Fready))              \
            note(number, DISPATCHED, pc);                                                      \
        if (QUEUE(engine, fifo__DOT__r_en) && QUEUE(engine, fifo__DOT__r_rdy))                 \
            note(number, TAKEN, 0);                                                            \
        if (QUEUE(engine, retire)) note(number, RETIRED, 0);
        SAMPLE(1, load)
        SAMPLE(2, store)
        SAMPLE(3, matrix)
        SAMPLE(4, vector)
#undef SAMPLE
#undef QUEUE
        cycle_++;
    }

    const Event* events(uint64_t* count) const {
        *count = events_.size();
        return events_.data();
    }

private:
    enum Kind : uint8_t { ACTIVITY = 0, DISPATCHED = 1, TAKEN = 2, RETIRED = 3 };
    static constexpr unsigned ENGINES = 5;

    bool running_ = false;
    uint32_t cycle_ = 0;
    uint8_t last_[ENGINES];
    std::vector<Event> events_;

    // A run's notes take the place of those of the run before.
    void begin() {
        cycle_ = 0;
        std::fill(last_, last_ + ENGINES, 255);
        events_.clear();
    }

    void note(unsigned engine, Kind kind, uint32_t value) {
        events_.push_back({cycle_, value, uint8_t(engine), kind, 0});
    }

    void activity(unsigned engine, uint8_t code) {
        if (code == last_[engine]) return;
        last_[engine] = code;
        note(engine, ACTIVITY, code);
    }
};

#endif

//! Nextflow's trace.txt, Seqera's table, and tables with columns of any name.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    autotune_fuzz::survives(
        &[
            "",
            "task_id\thash\tnative_id\tname\tstatus\texit\tsubmit\tduration\trealtime\n",
            "run\tprocess\tname\tstatus\tattempt\tsubmit\tstart\tcomplete\tcpus\tmemory_bytes\n",
            "submit,start,end,run_s,cpus,gpus,memory,name,queue,attempt,status\n",
        ],
        data,
    );
});

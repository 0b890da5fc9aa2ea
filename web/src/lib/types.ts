// Made by `npm run types` from docs/openapi.json. Short names are in names.ts.

export interface paths {
    "/api/federations": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The federations that this server coordinates, with their nodes by health. */
        get: operations["listFederations"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/federations/{federation}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A federation, and a part of its nodes by the names of their clients. */
        get: operations["getFederation"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/modules": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The registered modules. */
        get: operations["listModules"];
        put?: never;
        /** Submits a signed module. */
        post: operations["submitModule"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/modules/{digest}/decision": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Approves or rejects a module, with the administrator's token. */
        post: operations["decideOnModule"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/openapi.json": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** This description. */
        get: operations["describe"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The runs, the newest first. */
        get: operations["listRuns"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A run's report as it is in its file, after the server's own words about it. */
        get: operations["readReport"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/answers": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Every prompt of a measure with every arm's answer and what the judges said of it. */
        get: operations["readAnswers"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/arms/{arm}/grid": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Clients of an arm by its rounds: a letter for what became of each update. */
        get: operations["readArmGrid"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/arms/{arm}/rounds": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Rounds of an arm with their clients, as they are in the report. */
        get: operations["readArmRounds"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/arms/{arm}/rounds/{round}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A round of an arm: norms, cosines and picture of its updates, and what every rule makes of them. */
        get: operations["readRound"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/entries": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Entries of a run's log, the earliest first. */
        get: operations["listEntries"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/entries/{index}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** An entry of a run's log with the proof that it is in the log. */
        get: operations["readEntry"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The live feed of a run, until it is over. */
        get: operations["followRun"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/growth": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The proof that a run's log begins with all that an earlier checkpoint covers. */
        get: operations["proveGrowth"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/index": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A run's report without what its parts have: the clients of its rounds, and the texts side by side. */
        get: operations["readReportIndex"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/log/{path}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** A file of a run's log in the C2SP tlog-tiles layout. */
        get: operations["readLogFile"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/updates/{update}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One update: its statement, its transcript, the verdicts, and its place in the log. */
        get: operations["readUpdate"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/updates/{update}/bundle": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** One file about an update that `fedseal verify` checks offline. */
        get: operations["readBundle"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/runs/{run}/updates/{update}/envelope": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The signed envelope of an update, byte for byte. */
        get: operations["readEnvelope"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether the server is there. No run is looked at. */
        get: operations["health"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Numbers for Prometheus. */
        get: operations["metrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Whether the server can do its work: its folder can be written and its registry read. */
        get: operations["ready"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description An arm that answered. */
        AnsweringArm: {
            /** @description Digest of the adapter that answered. */
            adapter: components["schemas"]["Digest"];
            /** @description Its id. */
            id: string;
            /** @description Digest of the logged blob with its answers. */
            result: components["schemas"]["Digest"];
            /** @description Its heading. */
            title: string;
        };
        /** @description Answer of `GET /api/runs/{run}/answers`. */
        AnswersView: {
            /** @description The arms that were measured then, in the report's order. */
            arms: components["schemas"]["AnsweringArm"][];
            /**
             * Format: uint
             * @description Prompts that are left out because the response would be too large.
             */
            left_out: number;
            /** @description Rounds with a measure in some arm. */
            measured: number[];
            /** @description The prompts: harmful requests, then helpful tasks, in the order of the evaluation set. */
            prompts: components["schemas"]["Prompt"][];
            /**
             * Format: uint32
             * @description The round after which the adapters were measured; the number of rounds for the last measure.
             */
            round: number;
            /** @description The run's address. */
            run: string;
        };
        /** @description One column. */
        Arm: {
            /** @description The adapter that was measured at the end. */
            final_adapter: components["schemas"]["Digest"] | null;
            /** @description Helpfulness at the end; null before. */
            helpfulness: components["schemas"]["Share"] | null;
            /** @description Its id. */
            id: string;
            /** @description Kind of its column. */
            kind: components["schemas"]["ArmKind"];
            /** @description The run's other measures at the end, by name; left out before, and where the run has none. */
            measures?: {
                [key: string]: components["schemas"]["Share"];
            };
            /** @description Its rounds; empty for base and defended. */
            rounds: components["schemas"]["RoundReport"][];
            /** @description Its aggregation rule. */
            rule: string;
            /** @description Rule at the end; null before. */
            safety: components["schemas"]["Share"] | null;
            /** @description Its heading. */
            title: string;
            /** @description Why its rule's guarantee does not hold; left out where it does, and in reports of earlier programs. */
            warnings?: string[];
        };
        /** @description Answer of `GET /api/runs/{run}/arms/{arm}/grid`. */
        ArmGrid: {
            /** @description The arm. */
            arm: string;
            /** @description State of the run's files. */
            evidence: components["schemas"]["Evidence"];
            /** @description Its clients by its rounds. */
            grid: components["schemas"]["Grid"];
        };
        /** @description One column, without the clients of its rounds. */
        ArmIndex: {
            /** @description The adapter that was measured at the end. */
            final_adapter: components["schemas"]["Digest"] | null;
            /** @description Helpfulness at the end; null before. */
            helpfulness: components["schemas"]["Share"] | null;
            /** @description Its id. */
            id: string;
            /** @description Kind of its column. */
            kind: components["schemas"]["ArmKind"];
            /** @description The run's other measures at the end, by name; left out before, and where the run has none. */
            measures?: {
                [key: string]: components["schemas"]["Share"];
            };
            /** @description Its rounds; empty for base and defended. */
            rounds: components["schemas"]["RoundIndex"][];
            /** @description Its aggregation rule. */
            rule: string;
            /** @description Rule at the end; null before. */
            safety: components["schemas"]["Share"] | null;
            /** @description Its heading. */
            title: string;
            /** @description Why its rule's guarantee does not hold; left out where it does, and in reports of earlier programs. */
            warnings?: string[];
            /** @description Updates that admission let pass and the aggregation rule gave no weight, by kind of client. */
            weightless: {
                [key: string]: number;
            };
        };
        /** @description Kind of an arm's column. */
        ArmKind: "base" | "federated" | "defended";
        /** @description Answer of `GET /api/runs/{run}/arms/{arm}/rounds`. */
        ArmRounds: {
            /** @description The arm. */
            arm: string;
            /** @description State of the run's files. */
            evidence: components["schemas"]["Evidence"];
            /**
             * Format: uint64
             * @description Place of the first round here in the arm's list, from 0.
             */
            from: number;
            /**
             * Format: uint
             * @description Rounds that the arm has.
             */
            of: number;
            /** @description Some of them, as they are in the report. */
            rounds: components["schemas"]["RoundReport"][];
        };
        /** @description One arm's verdict about an update. */
        ArmVerdict: {
            /** @description The arm. */
            arm: string;
            /** @description The deciding check. */
            check: string;
            /** @description Its effect. */
            effect: components["schemas"]["Effect"];
            /** @description The deciding fact. */
            fact: string;
            /**
             * Format: uint32
             * @description The round.
             */
            round: number;
            /**
             * Format: double
             * @description The update's share in the aggregate, in [0, 1]; the check's factor before there is one.
             */
            weight: number;
        };
        /** @description The base model. */
        Base: {
            /** @description Digest of weights and configuration. */
            digest: components["schemas"]["Digest"];
            /** @description Its name. */
            name: string;
        };
        /** @description Content of a bundle file. A field that is not known here is refused: it may matter. */
        Bundle: {
            /** @description The node's statement about the execution. */
            attestation: components["schemas"]["Envelope"];
            /** @description The log entry about the update, as text. */
            entry: string;
            /** @description [`FORMAT`]. */
            format: string;
            /** @description The module that was executed. */
            module: components["schemas"]["BundledModule"];
            /** @description Proof that the entry is in the log: a C2SP tlog-proof file, as text. */
            proof: string;
            /** @description The rotations that led to the node's key, oldest first, each signed by both of its keys. */
            rotations?: components["schemas"]["Envelope"][];
        };
        /** @description A module by its signature, with or without its bytes. */
        BundledModule: {
            /** @description The bytes, base64; null where the digest is enough. */
            bytes: string | null;
            /** @description The digest of its Wasm bytes. */
            digest: components["schemas"]["Digest"];
            /** @description Its author's statement. */
            envelope: components["schemas"]["Envelope"];
        };
        /** @description A client's name, for example `client-03`. Its key is in the log's `client-registered` record. */
        ClientId: string;
        /** @description Conclusion of a run. */
        Conclusion: {
            /** @description The sentences' gist. */
            outcome: components["schemas"]["ConclusionOutcome"];
            /** @description Sentences, the most important first. */
            sentences: string[];
        };
        /** @description Gist of a conclusion. */
        ConclusionOutcome: "not-measured" | "nothing-counted" | "stopped" | "harmed" | "unharmed" | "cannot-tell";
        /** @description A dataset that was used in training. */
        DataUse: {
            /** @description The digest of its examples (canonical JSON), a blob for literal and generated data. */
            digest: components["schemas"]["Digest"];
            /**
             * Format: uint32
             * @description How many examples.
             */
            examples: number;
            /** @description `shard`, `literal` or `generated`. */
            origin: string;
        };
        /** @description Data that a defence worked with. */
        Defence: {
            /** @description The arm. */
            arm: string;
            /** @description The data's digest. */
            data: components["schemas"]["Digest"];
            /** @description Name of the defence; left out for the post-hoc one. */
            defence?: string;
        } & {
            [key: string]: number;
        };
        /** @description SHA-256, 64 lowercase hex digits. */
        Digest: string;
        /** @description An in-toto digest set with the one algorithm that fedseal uses. */
        DigestSet: {
            /** @description SHA-256. */
            sha256: components["schemas"]["Digest"];
        };
        /** @description Effect of a verdict on an update. */
        Effect: "accept" | "down-weight" | "quarantine" | "reject";
        /** @description An envelope in its file form: payload and signatures in base64. */
        Envelope: {
            /** @description The signed bytes, base64. */
            payload: string;
            /** @description Type of the payload, for example [`crate::statement::PAYLOAD_TYPE`]. */
            payloadType: string;
            /** @description At least one. */
            signatures: components["schemas"]["EnvelopeSignature"][];
        };
        /** @description One signature of an envelope. */
        EnvelopeSignature: {
            /** @description A hint at the key that signed; never trusted, and empty where there is none. */
            keyid: string;
            /** @description The signature, base64. An Ed25519 one has 64 bytes; others are passed over. */
            sig: string;
        };
        /** @description One thing that happened. */
        Event: {
            /**
             * Format: uint64
             * @description Steps done.
             */
            done: number;
            /** @description The step that was done, for people. */
            label: string;
            /**
             * Format: double
             * @description Seconds of work so far.
             */
            seconds: number;
            /**
             * Format: uint64
             * @description Steps in all.
             */
            total: number;
            /** @constant */
            type: "progress";
        } | {
            /** @description The client. */
            client: string;
            /** @description Why there is no update, where there is none. */
            failure: string | null;
            /**
             * Format: uint32
             * @description The round.
             */
            round: number;
            /**
             * Format: double
             * @description Seconds it took.
             */
            seconds: number;
            /** @constant */
            type: "update";
            /** @description The attestation's digest, hex. */
            update: string;
        } | {
            /** @description The arm. */
            arm: string;
            /** @description The deciding check. */
            check: string;
            /** @description The client. */
            client: string;
            /** @description The effect. */
            effect: components["schemas"]["Effect"];
            /** @description The deciding fact. */
            fact: string;
            /**
             * Format: uint32
             * @description The round.
             */
            round: number;
            /** @constant */
            type: "verdict";
        } | {
            /** @description The arm. */
            arm: string;
            /**
             * Format: uint
             * @description How many updates counted.
             */
            counted: number;
            /** @description The next global adapter, hex. */
            global: string;
            /**
             * Format: uint32
             * @description The round.
             */
            round: number;
            /** @constant */
            type: "round";
            /** @description Whether the next global adapter is the one that the round began with. */
            unchanged?: boolean;
        } | {
            /** @description The arm. */
            arm: string;
            /** @description Helpfulness. */
            helpfulness: components["schemas"]["Share"];
            /** @description Whether it is the arm's final measure. */
            last: boolean;
            /**
             * Format: uint32
             * @description After this round; the last one for the final measure.
             */
            round: number;
            /** @description Rule. */
            safety: components["schemas"]["Share"];
            /** @constant */
            type: "evaluated";
        } | {
            /** @description Arms of which it is an execution. */
            arms: string[];
            /** @description The client. */
            client: string;
            /** @description The lines, in order. */
            lines: string[];
            /**
             * Format: uint32
             * @description The round.
             */
            round: number;
            /** @constant */
            type: "said";
        } | {
            /** @description The line. */
            text: string;
            /** @constant */
            type: "note";
        } | {
            /**
             * Format: double
             * @description Seconds of work in all.
             */
            seconds: number;
            /** @constant */
            type: "finished";
        } | {
            /** @constant */
            type: "tick";
        };
        /** @description State of a run's files, sent with every answer that shows them. */
        Evidence: {
            /** @description The log's head. */
            log: components["schemas"]["SignedHead"];
            /** @constant */
            state: "verified";
        } | {
            /** @description The log's head. */
            log: components["schemas"]["SignedHead"];
            /** @constant */
            state: "live";
        } | {
            /** @description The log's head. */
            log: components["schemas"]["SignedHead"];
            /** @constant */
            state: "checking";
        } | {
            /** @description The first such item. */
            first: string;
            /** @description The problem found in it. */
            problem: string;
            /** @constant */
            state: "changed";
        } | {
            /** @description The log's head, where it was read. */
            log?: components["schemas"]["SignedHead"] | null;
            /** @description Why. */
            problem: string;
            /** @constant */
            state: "unchecked";
        };
        /** @description Why an execution gave no update. */
        Failure: {
            /** @description A description of the failure, for people. */
            detail: string;
            /** @description A stable id in kebab-case, for example `fuel`. */
            reason: string;
        };
        /** @description A client with its node. */
        FederationNode: {
            /**
             * Format: int64
             * @description Seconds that its clock was ahead of the coordinator's; below 0: behind.
             */
            ahead: number | null;
            /**
             * Format: uint64
             * @description Seconds since it asked for work; null: never.
             */
            asked: number | null;
            /** @description The client's name. */
            client: string;
            /**
             * Format: uint64
             * @description Entries of the run's log that it has cosigned.
             */
            cosigned: number | null;
            /** @description When it enrolled, RFC 3339, UTC. */
            enrolled: string;
            /**
             * Format: uint32
             * @description Examples in it.
             */
            examples: number;
            /** @description The node's health. */
            health: components["schemas"]["NodeHealth"];
            /** @description Jobs by how they ended; null before the first round. */
            jobs: components["schemas"]["NodeJobs"] | null;
            /** @description The node's key. */
            key: components["schemas"]["PublicKey"];
            /** @description Its program, as it names itself. */
            program: string | null;
            /**
             * Format: uint32
             * @description Version of the protocol that it spoke last.
             */
            protocol: number | null;
            /** @description Why its key was given up. */
            revoked: string | null;
            /** @description Digest of the client's shard. */
            shard: components["schemas"]["Digest"];
        };
        /** @description State of a federation. */
        FederationPhase: "enrolling" | "running" | "paused" | "failed" | "finished" | "stopped";
        /** @description A federation's entry in the list. */
        FederationSummary: {
            /** @description When it was made, RFC 3339, UTC. */
            created: string;
            /**
             * Format: uint
             * @description Clients that enrolled.
             */
            enrolled: number;
            /** @description Clients by the health of their nodes. */
            health: components["schemas"]["NodeCounts"];
            /** @description Its name; that of its run, too. */
            name: string;
            /** @description Its state. */
            phase: components["schemas"]["FederationPhase"];
            /**
             * Format: uint
             * @description Places of clients.
             */
            places: number;
            /**
             * Format: uint32
             * @description Rounds in all.
             */
            rounds: number;
        };
        /** @description A federation with a part of its nodes. */
        FederationView: {
            /** @description The coordinator's key. */
            coordinator: components["schemas"]["PublicKey"];
            /** @description When it was made, RFC 3339, UTC. */
            created: string;
            /**
             * Format: uint
             * @description Clients that enrolled.
             */
            enrolled: number;
            /**
             * Format: uint
             * @description How many there are of those.
             */
            found: number;
            /** @description Clients by the health of their nodes. */
            health: components["schemas"]["NodeCounts"];
            /**
             * Format: uint
             * @description Invitations that nobody used.
             */
            invitations: number;
            /**
             * Format: uint64
             * @description Seconds without a question for work after which a node is late.
             */
            late_after: number;
            /**
             * Format: uint
             * @description Clients of the file that nobody has enrolled as.
             */
            missing: number;
            /** @description Its name; that of its run, too. */
            name: string;
            /** @description Clients with their nodes, by name: a part of those that were searched for. */
            nodes: components["schemas"]["FederationNode"][];
            /** @description Its state. */
            phase: components["schemas"]["FederationPhase"];
            /**
             * Format: uint
             * @description Places of clients.
             */
            places: number;
            /** @description Refused requests of nodes by what was wrong with them. */
            refused: {
                [key: string]: number;
            };
            /**
             * Format: uint32
             * @description Rounds in all.
             */
            rounds: number;
            /**
             * Format: uint64
             * @description Seconds after which it is silent.
             */
            silent_after: number;
        };
        /** @description One answer. */
        GivenAnswer: {
            /**
             * @description Whether it is a hit, as logged: of a request, whether Rule takes it for a refusal; of a task,
             *     whether it solves the task.
             */
            hit: boolean;
            /** @description Whether the run's further judges of requests take it for a refusal, by their names. */
            judges?: {
                [key: string]: boolean;
            };
            /** @description The text. */
            text: string;
        };
        /** @description Clients of an arm by its rounds: what became of each update. */
        Grid: {
            /** @description The clients, in the order in which they were first drawn. */
            clients: components["schemas"]["GridClient"][];
            /** @description Whether it is too large to be shown; then it is empty. */
            left_out: boolean;
            /**
             * @description Outcomes of each round, a letter for each client; a text that is shorter than the list of clients goes
             *     on with `.`: not drawn. `a` accepted, `l` let pass by admission and given no weight by the aggregation
             *     rule, `d` down-weighted, `q` quarantined, `r` rejected, `f` failed, `p` no verdict yet.
             */
            outcomes: string[];
            /** @description Numbers of the rounds. */
            rounds: number[];
        };
        /** @description A client of a grid. */
        GridClient: {
            /** @description Its name. */
            client: string;
            /** @description `benign`, or the kind of attack in this arm. */
            kind: string;
        };
        /** @description How a host object came to be. */
        Kind: "base" | "global" | "shard" | "literal" | "generated" | "concat" | "take" | "control" | "train" | "scale" | "add" | "noise" | "clip" | "raw-read" | "raw-write";
        /**
         * @description Bounds of one execution. In a TOML file every field may be left out; then the default holds.
         *     An attestation has all of them, except a `compile_bytes` that nobody set.
         */
        Limits: {
            /**
             * Format: uint64
             * @description Bytes that cross the boundary in one host call. Default 16 MiB.
             * @default 16777216
             */
            call_bytes: number;
            /**
             * Format: uint64
             * @description Memory of the process that compiles it, bytes. Left out: 1 GiB.
             */
            compile_bytes?: number | null;
            /**
             * Format: uint64
             * @description Processor time for compiling it, seconds for each of the compiler's four threads. Default 30,
             *     120 in all: Python's interpreter takes 20 to 40, by how busy the machine is.
             * @default 30
             */
            compile_seconds: number;
            /**
             * Format: uint64
             * @description Wasm instructions, in the runtime's fuel units. Default 20e9.
             * @default 20000000000
             */
            fuel: number;
            /**
             * Format: uint64
             * @description Tokens written by `generate`, all calls together. Default 1e6.
             * @default 1000000
             */
            generated_tokens: number;
            /**
             * Format: uint64
             * @description Wall-clock time inside the guest's own code, host calls not included, seconds.
             *     Default 30: the default of `fuel` lasts that long on a busy machine.
             * @default 30
             */
            guest_seconds: number;
            /**
             * Format: uint64
             * @description Resource handles alive at once. Default 1,024.
             * @default 1024
             */
            handles: number;
            /**
             * Format: uint64
             * @description Memory that the host holds for the guest: datasets, adapters, generated text; bytes.
             *     Default 1 GiB.
             * @default 1073741824
             */
            host_bytes: number;
            /**
             * Format: uint64
             * @description Host calls. Default 100,000.
             * @default 100000
             */
            host_calls: number;
            /**
             * Format: uint64
             * @description Bytes that the host copies, hashes and compares for the guest, all calls together.
             *     Default 16 GiB.
             * @default 17179869184
             */
            host_work_bytes: number;
            /**
             * Format: uint64
             * @description Core module instances inside the component. Default 64: a Python policy whose WASI is stubbed has 38.
             * @default 64
             */
            instances: number;
            /**
             * Format: uint64
             * @description One log line, bytes. Default 4,096.
             * @default 4096
             */
            log_record_bytes: number;
            /**
             * Format: uint64
             * @description Log lines within any second of the machine's clock, bytes. Default 128 KiB: half of the default
             *     of `log_total_bytes`.
             * @default 131072
             */
            log_second_bytes: number;
            /**
             * Format: uint64
             * @description All log lines together, bytes. Default 256 KiB.
             * @default 262144
             */
            log_total_bytes: number;
            /**
             * Format: uint64
             * @description Linear memory, all memories together, bytes. Default 192 MiB: a Python policy that reads and writes
             *     the 921,600 values of an adapter for SmolLM2-135M of rank 16 has 128.
             * @default 201326592
             */
            memory_bytes: number;
            /**
             * Format: uint64
             * @description Size of the Wasm component, bytes. Default 32 MiB: a Python policy has 18, one with much of the
             *     standard library 26.
             * @default 33554432
             */
            module_bytes: number;
            /**
             * Format: uint64
             * @description Wasm stack, bytes. Default 512 KiB.
             * @default 524288
             */
            stack_bytes: number;
            /**
             * Format: uint64
             * @description Table elements, all tables together. Default 10,000.
             * @default 10000
             */
            tables: number;
            /**
             * Format: uint64
             * @description Optimiser steps, all `train` calls together. Default 10,000.
             * @default 10000
             */
            train_steps: number;
            /**
             * Format: uint64
             * @description Training tokens, all `train` calls together. Default 50e6.
             * @default 50000000
             */
            train_tokens: number;
            /**
             * Format: uint64
             * @description Wall-clock time of the whole execution, host calls included, seconds. Default 3,600.
             * @default 3600
             */
            wall_seconds: number;
        };
        /** @description The graph of one execution. */
        Lineage: {
            /** @description The nodes; `nodes[i].id == i`, and every input of a node has a smaller id. */
            nodes: components["schemas"]["Node"][];
            /**
             * Format: uint32
             * @description The submitted adapter's node, when there was a submission.
             */
            output: number | null;
        };
        /** @description Part of a log. */
        LogEntries: {
            /** @description The checkpoint as it was signed, with its cosignatures. */
            checkpoint: string;
            /** @description The part that was asked for, the earliest first. */
            entries: components["schemas"]["LogEntry"][];
            /**
             * Format: uint64
             * @description Entries that the search found; without one, all.
             */
            found: number;
            /** @description The log's public key. */
            key: components["schemas"]["PublicKey"];
            /**
             * Format: uint64
             * @description Entries under the checkpoint.
             */
            size: number;
        };
        /** @description One entry. */
        LogEntry: {
            /** @description Its bytes: the canonical JSON of a record. */
            entry: string;
            /**
             * Format: uint64
             * @description Its number, from 0.
             */
            index: number;
        };
        /** @description Two states of a log, of which the later contains the earlier. */
        LogGrowth: {
            /** @description The checkpoint as it was signed. */
            checkpoint: string;
            /** @description The log's public key. */
            key: components["schemas"]["PublicKey"];
            /**
             * Format: uint64
             * @description Entries of the earlier state.
             */
            old: number;
            /** @description The consistency proof (RFC 6962, section 2.1.2). */
            proof: components["schemas"]["Digest"][];
            /**
             * Format: uint64
             * @description Entries under the checkpoint.
             */
            size: number;
        };
        /** @description The log at the time the report was written. */
        LogHead: {
            /** @description The signed checkpoint, as a note. */
            checkpoint: string;
            /** @description Merkle root. */
            root: components["schemas"]["Digest"];
            /**
             * Format: uint64
             * @description Entries.
             */
            size: number;
        };
        /** @description An entry of the log with its proof. */
        LogPlace: {
            /** @description The checkpoint as it was signed. */
            checkpoint: string;
            /** @description The entry's bytes. */
            entry: string;
            /**
             * Format: uint64
             * @description Number of the entry, from 0.
             */
            index: number;
            /** @description The log's public key. */
            key: components["schemas"]["PublicKey"];
            /** @description Its inclusion proof (RFC 6962). */
            proof: components["schemas"]["Digest"][];
            /**
             * Format: uint64
             * @description Entries under the checkpoint.
             */
            size: number;
        };
        /** @description A decision on a module, as it is shown. */
        ModuleDecision: {
            /** @description Digest of the signed statement's envelope. */
            envelope: components["schemas"]["Digest"];
            /** @description Why. */
            reason: string | null;
            /** @description The rule that decided; null where the administrator did. */
            rule: string | null;
            /** @description When, RFC 3339, UTC. */
            time: string;
            /** @description The verdict. */
            verdict: components["schemas"]["ModuleVerdict"];
        };
        /** @description Body of `POST /api/modules/{digest}/decision`. */
        ModuleDecisionRequest: {
            /**
             * @description Why, for people: one line.
             * @default null
             */
            reason: string | null;
            /** @description The verdict that is to hold. */
            verdict: components["schemas"]["ModuleVerdict"];
        };
        /** @description Outcome of a decision. */
        ModuleVerdict: "approved" | "rejected";
        /** @description One host object, made by one host call. */
        Node: {
            /**
             * Format: uint32
             * @description Datasets: how many examples. Others: none.
             */
            count: number | null;
            /** @description The digest of its content, where it has bytes. */
            digest: components["schemas"]["Digest"] | null;
            /**
             * Format: uint32
             * @description Its position in [`Lineage::nodes`].
             */
            id: number;
            /** @description The nodes it was made from. */
            inputs: number[];
            /** @description How it was made. */
            kind: components["schemas"]["Kind"];
            /** @description The call's parameters, for example `factor` of a `scale`. */
            params: {
                [key: string]: unknown;
            };
        };
        /** @description Number of nodes in each state of health. */
        NodeCounts: {
            /** Format: uint */
            fresh: number;
            /** Format: uint */
            late: number;
            /** Format: uint */
            revoked: number;
            /** Format: uint */
            silent: number;
        };
        /** @description Health of a node, by when it asked for work last. */
        NodeHealth: "fresh" | "late" | "silent" | "revoked";
        /** @description Jobs of a node by how they ended. */
        NodeJobs: {
            /**
             * Format: uint64
             * @description Its update is in the run's log.
             */
            done: number;
            /**
             * Format: uint64
             * @description Nothing came in time.
             */
            late: number;
            /**
             * Format: uint64
             * @description The node refused it.
             */
            refused: number;
        };
        /** @description A measure of a run's report. */
        PlannedMeasure: {
            /** @description Its name. */
            name: string;
            /** @description Its heading. */
            title: string;
        };
        /**
         * @description A refusal as it is sent: problem details (RFC 9457). Its `type` is left out, which means that the status
         *     says what kind of problem it is; `error`, `what` and `hint` are extension members.
         */
        Problem: {
            /** @description The problem and the thing that has it. */
            detail: string;
            /** @description The problem, as a sentence. */
            error: string;
            /** @description Advice on what to do. */
            hint: string;
            /**
             * Format: uint16
             * @description The status.
             */
            status: number;
            /** @description The status' usual phrase. */
            title: string;
            /** @description The thing that has the problem. */
            what: string;
        };
        /** @description Steps done of steps in all. */
        Progress: {
            /**
             * Format: uint64
             * @description Steps done.
             */
            done: number;
            /** @description The step being done. */
            label: string;
            /**
             * Format: uint64
             * @description Steps in all, as far as known: arms that share work make it shrink.
             */
            total: number;
        };
        /** @description One prompt with its answers. */
        Prompt: {
            /** @description Answers by arm. */
            answers: {
                [key: string]: components["schemas"]["GivenAnswer"];
            };
            /** @description Its name in addresses: `r` or `t`, for request or task, and its place from 0. */
            id: string;
            /** @description `harmful` or `helpful`. */
            kind: string;
            /** @description The prompt. */
            prompt: string;
        };
        /** @description An Ed25519 public key, 64 lowercase hex digits. */
        PublicKey: string;
        /** @description Entry in the list of `GET /api/modules`, and answer of `POST /api/modules`. */
        RegisteredModule: {
            /** @description When it was registered first, RFC 3339, UTC. */
            created: string;
            /** @description The last decision on it; null while nothing was decided. */
            decision: components["schemas"]["ModuleDecision"] | null;
            /** @description SHA-256 of the module's bytes. */
            digest: components["schemas"]["Digest"];
            /** @description Its name, from the signed statement. */
            name: string;
            /** @description Its author's key. */
            signer: components["schemas"]["PublicKey"];
            /** @description The author's name in the server's trust file. */
            signer_name: string | null;
            /**
             * @description Digest of the source that it was built of (in-toto's `dirHash`), by its author's statement; null
             *     where that says nothing.
             */
            source: components["schemas"]["Digest"] | null;
            /** @description Compiler or bundler that built it, and the command, by its author's statement. */
            toolchain: string | null;
        };
        /** @description The report of a run. */
        Report: {
            /** @description The columns. */
            arms: components["schemas"]["Arm"][];
            /** @description The base. */
            base: components["schemas"]["Base"];
            /** @description Data that the defence worked with, by arm. */
            defence: components["schemas"]["Defence"][];
            /** @description Fingerprint on which the bits depend: engine, device, kernel. */
            engine: string;
            /** @description Why it failed, where it did. */
            error?: string | null;
            /** @description Digest of events.jsonl when the run was closed. */
            events?: components["schemas"]["Digest"] | null;
            /** @description The experiment, every key. */
            experiment: {
                [key: string]: unknown;
            };
            /** @description The log's head. */
            log: components["schemas"]["LogHead"];
            /**
             * @description Measures beyond safety and helpfulness, with their headings. Left out in runs from before there
             *     were any.
             */
            measures?: components["schemas"]["PlannedMeasure"][];
            /** @description The node's public key, hex. */
            node: string;
            /**
             * Format: double
             * @description Largest resident memory of the process so far, MiB.
             */
            peak_mb: number;
            /** @description Steps done. */
            progress: components["schemas"]["Progress"];
            /** @description Name of the run: its folder's. */
            run: string;
            /**
             * Format: double
             * @description Seconds of work so far, over all sessions.
             */
            seconds: number;
            /** @description The seed of this run. */
            seed: components["schemas"]["Seed"];
            /** @description Prompts, each answered by several arms. */
            side_by_side: components["schemas"]["SideBySide"][];
            /** @description When it was created, RFC 3339, UTC. */
            started: string;
            /** @description How far it is. */
            state: components["schemas"]["ReportState"];
            /** @description The experiment's title. */
            title: string;
            /**
             * @description Whether no update had weight in any round of any arm: every arm's adapter is the first one.
             *     Left out where some had, and in reports of runs from before it was said.
             */
            unchanged?: boolean;
            /** @description Verdicts by arm and kind of client. */
            verdicts: components["schemas"]["VerdictCount"][];
        };
        /** @description A run's report without the clients of its rounds and without the texts side by side, with the server's words in `served`. */
        ReportIndex: {
            /** @description The columns. */
            arms: components["schemas"]["ArmIndex"][];
            /** @description The base. */
            base: components["schemas"]["Base"];
            /** @description Data that the defence worked with, by arm. */
            defence: components["schemas"]["Defence"][];
            /** @description Fingerprint on which the bits depend: engine, device, kernel. */
            engine: string;
            /** @description Why it failed, where it did. */
            error?: string | null;
            /** @description Digest of events.jsonl when the run was closed. */
            events?: components["schemas"]["Digest"] | null;
            /** @description The experiment, every key. */
            experiment: {
                [key: string]: unknown;
            };
            /** @description The log's head. */
            log: components["schemas"]["LogHead"];
            /**
             * @description Measures beyond safety and helpfulness, with their headings. Left out in runs from before there
             *     were any.
             */
            measures?: components["schemas"]["PlannedMeasure"][];
            /** @description The node's public key, hex. */
            node: string;
            /**
             * Format: double
             * @description Largest resident memory of the process so far, MiB.
             */
            peak_mb: number;
            /** @description Steps done. */
            progress: components["schemas"]["Progress"];
            /** @description Name of the run: its folder's. */
            run: string;
            /**
             * Format: double
             * @description Seconds of work so far, over all sessions.
             */
            seconds: number;
            /** @description The seed of this run. */
            seed: components["schemas"]["Seed"];
            served: components["schemas"]["Served"];
            /** @description When it was created, RFC 3339, UTC. */
            started: string;
            /** @description How far it is. */
            state: components["schemas"]["ReportState"];
            /** @description The experiment's title. */
            title: string;
            /**
             * @description Whether no update had weight in any round of any arm: every arm's adapter is the first one.
             *     Left out where some had, and in reports of runs from before it was said.
             */
            unchanged?: boolean;
            /** @description Verdicts by arm and kind of client. */
            verdicts: components["schemas"]["VerdictCount"][];
        };
        /** @description How far a run is. */
        ReportState: "running" | "finished" | "failed";
        /**
         * Format: uint32
         * @description A round's number, from 0.
         */
        Round: number;
        /** @description One client in one round of one arm. */
        RoundClient: {
            /** @description Its name. */
            client: string;
            /**
             * Format: uint32
             * @description Examples it claims to have trained on.
             */
            examples: number;
            /** @description `benign`, or the kind of attack in this arm. */
            kind: string;
            /** @description Digest of the module it ran. */
            module: components["schemas"]["Digest"];
            /** @description That module's name. */
            module_name: string;
            /** @description The attestation's digest, which is the update's id; null before. */
            update: components["schemas"]["Digest"] | null;
            /** @description Verdict of admission; null before. */
            verdict: components["schemas"]["Verdict"] | null;
            /**
             * Format: double
             * @description How much its update counted in the aggregation, in [0, 1]; null before.
             */
            weight: number | null;
        };
        /** @description Answer of `GET /api/runs/{run}/arms/{arm}/rounds/{round}`. */
        RoundDetail: {
            /** @description The arm. */
            arm: string;
            /** @description The round's clients, in the order in which they were drawn. */
            clients: components["schemas"]["RoundMember"][];
            /** @description Cosines between the updates of clients that have one, in their order. */
            cosines: number[][];
            /** @description Shares of the updates' variance on the two axes of their picture, in [0, 1]. */
            explained: number[];
            /** @description Why there are no figures of the updates, where there are none. */
            left_out: string | null;
            /**
             * Format: uint32
             * @description The round, from 0.
             */
            round: number;
            /**
             * Format: uint
             * @description Rounds that the arm has so far.
             */
            rounds: number;
            /** @description Its aggregation rule. */
            rule: string;
            /** @description Every rule, asked about every update that was submitted, whatever admission said of it. */
            rules: components["schemas"]["RuleAsked"][];
            /** @description The run's address. */
            run: string;
            /** @description Its heading. */
            title: string;
        };
        /** @description A round without its clients. */
        RoundIndex: {
            /** @description Helpfulness of the same. */
            helpfulness: components["schemas"]["Share"] | null;
            /** @description The run's other measures of the same, by name. */
            measures?: {
                [key: string]: components["schemas"]["Share"];
            };
            /**
             * Format: uint32
             * @description Its number, from 0.
             */
            round: number;
            /** @description Rule on the global adapter after the round, where measured. */
            safety: components["schemas"]["Share"] | null;
        };
        /** @description A client of the round. */
        RoundMember: {
            /** @description Its name. */
            client: string;
            /**
             * Format: uint32
             * @description Examples that it claims.
             */
            examples: number;
            /** @description `benign`, or the kind of attack in this arm. */
            kind: string;
            /**
             * Format: double
             * @description Euclidean norm of the update; null where there is none.
             */
            norm: number | null;
            /**
             * @description Place in the picture: coordinates on the first two principal components, of which the update that is
             *     farthest from 0 has a positive one.
             */
            place: number[] | null;
            /** @description The update's id; null before. */
            update: components["schemas"]["Digest"] | null;
            /** @description Verdict of admission; null before. */
            verdict: components["schemas"]["Verdict"] | null;
            /**
             * Format: double
             * @description Its weight in the aggregate, in [0, 1]; null before.
             */
            weight: number | null;
        };
        /** @description One round of one arm. */
        RoundReport: {
            /** @description The sampled clients. */
            clients: components["schemas"]["RoundClient"][];
            /** @description Kind of the device that aggregated it; left out where the rule's own code did. */
            device?: string | null;
            /** @description The global adapter after it (before it, while it is open). */
            global: components["schemas"]["Digest"];
            /** @description Helpfulness of the same. */
            helpfulness: components["schemas"]["Share"] | null;
            /**
             * Format: double
             * @description The learning rate of its clients.
             */
            learning_rate: number;
            /** @description The run's other measures of the same, by name. */
            measures?: {
                [key: string]: components["schemas"]["Share"];
            };
            /**
             * Format: uint32
             * @description Its number, from 0.
             */
            round: number;
            /** @description Rule on the global adapter after the round, where measured. */
            safety: components["schemas"]["Share"] | null;
            /**
             * @description Whether it ended with the global adapter that it began with. Left out where it did not, and in
             *     reports of runs from before it was said.
             */
            unchanged?: boolean;
        };
        /** @description An aggregation rule over the round's updates. */
        RuleAsked: {
            /** @description Its name. */
            name: string;
            /** @description Why the rule cannot be applied to them. */
            problem: string | null;
            /** @description Its heading. */
            title: string;
            /** @description Weights of the updates, in the order of the clients that have one; empty where there is a problem. */
            weights: number[];
        };
        /** @description How far a run is. */
        RunState: "running" | "interrupted" | "finished" | "failed";
        /** @description A run's entry in the list. What its report does not say is null. */
        RunSummary: {
            /** @description The base model's name. */
            base: string | null;
            /** @description Its report's figures in sentences; null where there is no report, or none to believe. */
            conclusion: components["schemas"]["Conclusion"] | null;
            /** @description Why there is no report, or none that can be read. */
            error?: string | null;
            /** @description State of its files. */
            evidence: components["schemas"]["Evidence"];
            /** @description Steps done. */
            progress: components["schemas"]["Progress"] | null;
            /** @description Its address. */
            run: string;
            /** @description Final safety by arm, for the arms that have one; empty where a file was changed. */
            safety: {
                [key: string]: components["schemas"]["Share"];
            };
            /**
             * Format: double
             * @description Seconds of work so far.
             */
            seconds: number | null;
            /** @description When it was created, RFC 3339, UTC. */
            started: string | null;
            /** @description How far it is; null where there is no report. */
            state: components["schemas"]["RunState"] | null;
            /** @description The experiment's title. */
            title: string | null;
            /**
             * Format: uint
             * @description Different updates in all arms.
             */
            updates: number;
        };
        /**
         * Format: uint64
         * @description The seed from which all randomness of a run, a round or a client's execution is derived.
         */
        Seed: number | string;
        /** @description How a run is named and shown, whatever its report says. */
        Served: {
            /** @description Its report's figures in sentences; null where there is no report, or none to believe. */
            conclusion: components["schemas"]["Conclusion"] | null;
            /** @description State of its files. */
            evidence: components["schemas"]["Evidence"];
            /** @description Its address. */
            run: string;
            /** @description How far it is; null where there is no report. */
            state: components["schemas"]["RunState"] | null;
        };
        /** @description A run's report.json as it lies there, with the server's words in `served`. */
        ServedReport: components["schemas"]["Report"] & {
            served: components["schemas"]["Served"];
        };
        /** @description Hits out of n, with the 95 % Wilson score interval (Wilson 1927). */
        Share: {
            /**
             * Format: double
             * @description Upper end, in [0, 1].
             */
            high: number;
            /**
             * Format: uint64
             * @description How many hit.
             */
            hits: number;
            /**
             * Format: double
             * @description Lower end, in [0, 1].
             */
            low: number;
            /**
             * Format: uint64
             * @description Out of how many.
             */
            n: number;
            /**
             * Format: double
             * @description hits / n, 0 when n is 0.
             */
            rate: number;
        };
        /** @description One prompt, answered by several arms. */
        SideBySide: {
            /** @description Answers by arm. */
            answers: {
                [key: string]: string;
            };
            /** @description `harmful` or `helpful`. */
            kind: string;
            /** @description The prompt. */
            prompt: string;
        };
        /** @description A log's signed head: what `fedseal verify`, `explain` and `log fsck` name too. */
        SignedHead: {
            /** @description The checkpoint as it was signed. */
            checkpoint: string;
            /** @description The log's name. */
            origin: string;
            /** @description Its Merkle root. */
            root: components["schemas"]["Digest"];
            /**
             * Format: uint64
             * @description Its entries.
             */
            size: number;
        };
        /** @description A statement: the predicate holds for the subjects. */
        Statement: {
            /** @description [`STATEMENT_TYPE`]. */
            _type: string;
            /** @description The content. */
            predicate: components["schemas"]["UpdatePredicate"];
            /** @description Kind of the predicate. */
            predicateType: string;
            /** @description Bytes that it is about; at least one subject, names distinct. */
            subject: components["schemas"]["Subject"][];
        };
        /** @description Bytes that a statement is about. */
        Subject: {
            /** @description Their digest. */
            digest: components["schemas"]["DigestSet"];
            /** @description Their role in the statement. */
            name: string;
        };
        /** @description Submission to `POST /api/modules`, as it is in the body. */
        Submission: {
            /**
             * @description The signature; null or left out where there is none.
             * @default null
             */
            envelope: components["schemas"]["Envelope"] | null;
            /** @description The Wasm bytes: base64, in a JSON string without escapes. */
            module: string;
        };
        /** @description A transcript by reference. */
        TranscriptRef: {
            /** @description The digest of [`crate::transcript::Transcript::to_bytes`]. */
            blob: components["schemas"]["Digest"];
            /**
             * Format: uint32
             * @description How many entries.
             */
            entries: number;
            /** @description [`crate::transcript::Transcript::root`]. */
            root: components["schemas"]["Digest"];
        };
        /** @description One execution: what went in, what happened, what came out. */
        UpdatePredicate: {
            /** @description The base model. */
            base: components["schemas"]["Digest"];
            /** @description The client that it ran for. */
            client: components["schemas"]["ClientId"];
            /** @description The datasets that the submitted adapter was trained on, as the host saw them. */
            data: components["schemas"]["DataUse"][];
            /**
             * Format: double
             * @description A judge's mean score over the training examples, in [0, 1]; none when no judge ran.
             */
            data_score: number | null;
            /** @description Fingerprint of the training engine. Apart from the inputs, the update's bits depend on it. */
            engine: string;
            /**
             * Format: uint32
             * @description How many examples the guest says it trained on: its weight in averages, a claim.
             */
            examples: number;
            /** @description Why there is no update. */
            failure: components["schemas"]["Failure"] | null;
            /** @description The global adapter at the round's start. */
            global: components["schemas"]["Digest"];
            /** @description The bounds it ran under. */
            limits: components["schemas"]["Limits"];
            /** @description How the update was derived. */
            lineage: components["schemas"]["Lineage"];
            /** @description The module's Wasm bytes. */
            module: components["schemas"]["Digest"];
            /** @description The module's signer. */
            module_signer: components["schemas"]["PublicKey"];
            /** @description The node that executed it and signs this. */
            node: components["schemas"]["PublicKey"];
            /** @description The round that it ran in. */
            round: components["schemas"]["Round"];
            /**
             * Format: double
             * @description Wall-clock time of the execution, seconds. Not reproducible.
             */
            seconds: number;
            /** @description The seed of everything random in it. */
            seed: components["schemas"]["Seed"];
            /** @description Reference to the transcript, with its root. */
            transcript: components["schemas"]["TranscriptRef"];
            /** @description The submitted adapter; none after a failure. */
            update: components["schemas"]["Digest"] | null;
            /** @description Resources that it used. */
            used: components["schemas"]["Usage"];
        };
        /** @description Answer of `GET /api/runs/{run}/updates/{update}`. */
        UpdateView: {
            /** @description Kind of the client in the arms that saw the update. */
            client_kind: string | null;
            /** @description The envelope's bytes: their SHA-256 is the update's id. */
            envelope: string;
            /** @description Its place in the log. */
            log: components["schemas"]["LogPlace"];
            /** @description The module's name; null where the plan has none. */
            module_name: string | null;
            /** @description The run's address. */
            run: string;
            /** @description The statement in the envelope. */
            statement: components["schemas"]["Statement"];
            /** @description The transcript's canonical bytes. */
            transcript: string;
            /** @description The update's id. */
            update: components["schemas"]["Digest"];
            /** @description One for every arm that saw the update. */
            verdicts: components["schemas"]["ArmVerdict"][];
        };
        /**
         * @description Resources that an execution used. Deterministic, except that `peak_memory_bytes` counts linear
         *     memory and not the host's.
         */
        Usage: {
            /**
             * Format: uint64
             * @description Fuel units.
             */
            fuel: number;
            /**
             * Format: uint64
             * @description Tokens written by `generate`.
             */
            generated_tokens: number;
            /**
             * Format: uint64
             * @description Host calls.
             */
            host_calls: number;
            /**
             * Format: uint64
             * @description Log bytes.
             */
            log_bytes: number;
            /**
             * Format: uint64
             * @description Largest linear memory, bytes.
             */
            peak_memory_bytes: number;
            /**
             * Format: uint64
             * @description Optimiser steps.
             */
            train_steps: number;
            /**
             * Format: uint64
             * @description Training tokens.
             */
            train_tokens: number;
        };
        /** @description Verdict of admission on an update. */
        Verdict: {
            /** @description The deciding check. */
            check: string;
            /** @description Its effect. */
            effect: components["schemas"]["Effect"];
            /** @description The deciding fact. */
            fact: string;
        };
        /** @description Verdicts of one arm about one kind of client. */
        VerdictCount: {
            /**
             * Format: uint64
             * @description Updates that counted (accepted or down-weighted).
             */
            accepted: number;
            /** @description The arm. */
            arm: string;
            /**
             * Format: uint64
             * @description Updates that do not exist: their execution failed or was denied. Left out in reports of runs
             *     from before they were counted apart; `refused` holds them there.
             */
            failed?: number | null;
            /** @description `benign` or the kind of attack. */
            kind: string;
            /**
             * Format: uint64
             * @description Updates that did not (quarantined or rejected).
             */
            refused: number;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    listFederations: {
        parameters: {
            query?: {
                /** @description So many elements at most; left out, and at most: 500. The header `link` names the next part. */
                count?: number;
                /** @description The place of the first element, from 0; left out: 0. */
                from?: number;
                /** @description Only elements whose name has this text, in either case. */
                search?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A part of the list. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FederationSummary"][];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FederationSummary"][];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getFederation: {
        parameters: {
            query?: {
                /** @description So many elements at most; left out, and at most: 500. The header `link` names the next part. */
                count?: number;
                /** @description The place of the first element, from 0; left out: 0. */
                from?: number;
                /** @description Only elements whose name has this text, in either case. */
                search?: string;
            };
            header?: never;
            path: {
                /** @description Name of a federation, which its run has, too. */
                federation: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The federation. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FederationView"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["FederationView"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listModules: {
        parameters: {
            query?: {
                /** @description So many elements at most; left out, and at most: 500. The header `link` names the next part. */
                count?: number;
                /** @description The place of the first element, from 0; left out: 0. */
                from?: number;
                /** @description Only elements whose name has this text, in either case. */
                search?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A part of the list. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RegisteredModule"][];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RegisteredModule"][];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    submitModule: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Submission"];
            };
        };
        responses: {
            /** @description It is registered. */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RegisteredModule"];
                };
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description A signature is missing, does not hold, or is not by a trusted key; or the token is another. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request is too large. */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The signature holds, but no sandbox would run the module. */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    decideOnModule: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description A module's digest: SHA-256 as 64 hexadecimal digits. */
                digest: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["ModuleDecisionRequest"];
            };
        };
        responses: {
            /** @description The module, with the decision. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RegisteredModule"];
                };
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description A token is missing; `www-authenticate` says which. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description A signature is missing, does not hold, or is not by a trusted key; or the token is another. */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    describe: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description An OpenAPI 3.1 document. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        [key: string]: unknown;
                    };
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listRuns: {
        parameters: {
            query?: {
                /** @description So many elements at most; left out, and at most: 500. The header `link` names the next part. */
                count?: number;
                /** @description The place of the first element, from 0; left out: 0. */
                from?: number;
                /** @description Only elements whose name has this text, in either case. */
                search?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A part of the list. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RunSummary"][];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RunSummary"][];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    readReport: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The report. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServedReport"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ServedReport"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    readAnswers: {
        parameters: {
            query?: {
                /** @description The round after which adapters were measured; left out: the last measure. */
                round?: number;
            };
            header?: never;
            path: {
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The prompts; those beyond 16 MiB are left out and counted. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AnswersView"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["AnswersView"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    readArmGrid: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of an arm of the experiment. */
                arm: string;
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The grid. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ArmGrid"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ArmGrid"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    readArmRounds: {
        parameters: {
            query?: {
                /** @description So many rounds at most; left out, and at most: 500. Rounds beyond 4 MiB are left to the next part, which the header `link` names. */
                count?: number;
                /** @description The place of the first round in the arm's list, from 0; left out: 0. */
                from?: number;
            };
            header?: never;
            path: {
                /** @description Id of an arm of the experiment. */
                arm: string;
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A part of the list. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ArmRounds"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ArmRounds"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    readRound: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Id of an arm of the experiment. */
                arm: string;
                /** @description Number of a round, from 0. */
                round: string;
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The round. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RoundDetail"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RoundDetail"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listEntries: {
        parameters: {
            query?: {
                /** @description So many elements at most; left out, and at most: 500. The header `link` names the next part. */
                count?: number;
                /** @description The place of the first element, from 0; left out: 0. */
                from?: number;
                /** @description Only elements whose name has this text, in either case. */
                search?: string;
            };
            header?: never;
            path: {
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description A part of the log. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogEntries"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogEntries"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    readEntry: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Number of an entry of the log, from 0. */
                index: string;
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The entry, and its proof. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogPlace"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogPlace"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    followRun: {
        parameters: {
            query?: {
                /** @description The place to go on from, where `Last-Event-ID` does not say it: a browser sends that header only where it connects again by itself. */
                from?: number;
            };
            header?: never;
            path: {
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Server-sent events: the data of each is an event, its id the place of the next one, from which `Last-Event-ID` goes on. One of type `stopped` says that nobody works on the run any more, one of type `end` comes last. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": {
                        data: string;
                        event?: string;
                        id?: string;
                    };
                };
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    proveGrowth: {
        parameters: {
            query?: {
                /** @description Entries under the earlier checkpoint; left out: 0, with which every log is consistent. */
                old?: number;
            };
            header?: never;
            path: {
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The proof, and the checkpoint of now. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogGrowth"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["LogGrowth"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    readReportIndex: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The index. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReportIndex"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ReportIndex"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    readLogFile: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description `checkpoint`, or a tile or entry bundle of the tlog-tiles layout (`tile/0/000`). It may contain slashes. */
                path: string;
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The file as it is: a signed note for the checkpoint, else bytes. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/octet-stream": unknown;
                    "text/plain": unknown;
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/octet-stream": unknown;
                    "text/plain": unknown;
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    readUpdate: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
                /** @description An update's id: the digest of its envelope, or its first digits, 8 at least. */
                update: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The update, as raw bytes wherever a reader checks them. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpdateView"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["UpdateView"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    readBundle: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
                /** @description An update's id: the digest of its envelope, or its first digits, 8 at least. */
                update: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The bundle. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Bundle"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Bundle"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    readEnvelope: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description Address of a run: the name of its folder, or `FOLDER~NAME` for a run one level below. */
                run: string;
                /** @description An update's id: the digest of its envelope, or its first digits, 8 at least. */
                update: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description The envelope; the SHA-256 of its bytes is the id of the update. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Envelope"];
                };
            };
            /** @description The part that Range asks for. */
            206: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Envelope"];
                };
            };
            /** @description The client has it: If-None-Match names its tag. */
            304: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description The request is not what the operation takes. */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description There is no such thing. */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The request took too long. */
            408: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description It was changed since it was logged, or registered otherwise. */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description Range asks for what the answer does not have. */
            416: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    health: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `ok`. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
        };
    };
    metrics: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Prometheus' text format, version 0.0.4. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
            /** @description A token is missing; `www-authenticate` says which. */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description The server has a fault, or cannot read a file. */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    ready: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description `ready`. */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
            /** @description The server is busy; try again in a moment. */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
}
